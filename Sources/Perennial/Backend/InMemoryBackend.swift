/// Entries and refresh jobs in this process's memory, gone with it. What `--store memory:` uses.
public struct InMemoryBackend: Backend {
    private let entries: InMemoryStore
    private let jobs: InMemoryQueue

    public var store: any Store { entries }
    public var queue: any RefreshQueue { jobs }

    /// - Parameters:
    ///   - sizeLimit: the bytes above which the least recently used entries make room; default: none.
    ///   - time: what waiting for jobs waits on.
    public init(sizeLimit: Int? = nil, time: any TimeSource = SystemTime()) {
        entries = InMemoryStore(sizeLimit: sizeLimit)
        jobs = InMemoryQueue(time: time)
    }
}
