import Perennial
import PerennialConsole
import PerennialTesting
import Testing

struct StoreCopyTests {
    let clock = ManualClock(now: Samples.now)

    private func entry(_ name: String, cache: String = "people", at: Timestamp = Samples.now, _ bytes: [UInt8] = [1])
        -> StoredEntry
    {
        Samples.entry(Samples.key(name, cache: cache), bytes: bytes, at: at, tags: ["t"])
    }

    private func copy(_ source: any Store, _ target: any Store, cache: String? = nil) async throws
        -> StoreCopy.Progress
    {
        try await StoreCopy(from: source, to: target, time: clock).run(cache: cache)
    }

    @Test func `every entry arrives with all that is known about it`() async throws {
        let (source, target) = (InMemoryStore(), InMemoryStore())
        for number in 0..<450 { _ = try await source.save(entry("\(number)"), fence: nil, releasing: nil) }
        _ = try await source.markStale(.key(Samples.key("7")), now: Samples.now)
        let progress = try await copy(source, target)
        #expect(progress.copied == 450)
        let (old, new) = (
            try await source.list(cache: nil, tag: nil, after: nil, limit: 1000),
            try await target.list(cache: nil, tag: nil, after: nil, limit: 1000)
        )
        func plain(_ all: [EntryMetadata]) -> [EntryMetadata] {
            all.map { metadata in
                var metadata = metadata
                metadata.generation = .zero
                return metadata
            }
        }
        #expect(plain(old) == plain(new))
    }

    @Test func `what is there as new or newer is kept, what is older is replaced, what is dead is left out`()
        async throws
    {
        let (source, target) = (InMemoryStore(), InMemoryStore())
        for name in ["newer", "same", "older"] { _ = try await source.save(entry(name), fence: nil, releasing: nil) }
        _ = try await source.save(entry("dead", at: Samples.now - .days(30)), fence: nil, releasing: nil)
        _ = try await target.save(entry("newer", at: Samples.now + .seconds(1), [9]), fence: nil, releasing: nil)
        _ = try await target.save(entry("same", [8]), fence: nil, releasing: nil)
        _ = try await target.save(entry("older", at: Samples.now - .seconds(1), [7]), fence: nil, releasing: nil)
        let progress = try await copy(source, target)
        #expect(progress.copied == 1 && progress.kept == 2 && progress.dropped == 1)
        let bytes = try await target.read(["newer", "same", "older"].map { Samples.key($0) }).map { $0.entry?.bytes }
        #expect(bytes == [[9], [8], [1]])
    }

    @Test func `one that was stopped by a failing store is taken up again`() async throws {
        let (source, target) = (InMemoryStore(), FaultyStore())
        for number in 0..<300 { _ = try await source.save(entry("\(number)"), fence: nil, releasing: nil) }
        target.faults.fail(.save)
        await #expect(throws: InjectedFault.self) { try await copy(source, target) }
        target.faults.heal()
        #expect(try await copy(source, target).copied == 300)
        #expect(try await copy(source, target).kept == 300)
    }

    @Test func `one cache alone can be copied`() async throws {
        let (source, target) = (InMemoryStore(), InMemoryStore())
        for cache in ["a", "b"] { _ = try await source.save(entry("x", cache: cache), fence: nil, releasing: nil) }
        #expect(try await copy(source, target, cache: "b").copied == 1)
        #expect(try await target.list(cache: nil, tag: nil, after: nil, limit: 9).map(\.key.cache) == ["b"])
    }
}
