/// A database server of a test, whatever its kind.
public protocol EngineServer: AnyObject, Sendable {
    /// For `--store`.
    var url: String { get }
    var port: Int { get }
    /// Starts it again after ``kill()``, with what it had kept.
    func start() throws
    func kill()
    func pause()
    func resume()
}

extension RedisServer: EngineServer {}
