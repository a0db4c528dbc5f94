import Perennial

extension StoreConformance {
    /// What `work` gives; `nil`: the store can't keep what it is about.
    private static func unlessNotStorable<Result>(_ work: () async throws -> Result) async throws -> Result? {
        do {
            return try await work()
        } catch is NotStorable {
            return nil
        }
    }

    /// Does `odd` among ordinary work, and fails unless that succeeds and the store is as good as before.
    private static func among(
        _ store: any Store, _ odd: @escaping @Sendable () async throws -> Void
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<20 {
                group.addTask {
                    try await store.save(Samples.entry(Samples.key("\(number)"), bytes: [UInt8(number)]))
                }
                if number == 10 { group.addTask { try await odd() } }
            }
            try await group.waitForAll()
        }
        let found = try await store.read((0..<20).map { Samples.key("\($0)") }).map { $0.entry?.bytes }
        try requireEqual(found, (0..<20).map { [UInt8($0)] }, "the other entries")
    }

    /// Nobody's index has room for it, and it can't be compressed: a key as somebody might send it.
    private static let longKey: EntryKey = {
        var state: UInt64 = 1
        let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
        let text = (0..<9_000).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return letters[Int(state >> 58)]
        }
        return Samples.key(String(text))
    }()

    static let scopeChecks: [Check] = [
        Check("a value that is too large for the engine is not kept, and that harms nothing else") { store in
            let key = Samples.key("large")
            let before = try await store.save(Samples.entry(key, bytes: [1], tags: ["x"]))
            let bytes = [UInt8](repeating: 7, count: 16_500_000)
            try await among(store) {
                let large = Samples.entry(key, bytes: bytes, tags: ["x"])
                let outcome = try await store.save(large, fence: before, releasing: nil)
                let found = try await store.read(key).entry
                switch outcome {
                case .saved: try require(found?.bytes == bytes, "it counts as saved and was not kept")
                case .notKept(let generation):
                    try requireEqual(found, nil, "the entry that was not kept")
                    try require(generation > before, "generation \(generation) follows \(before)")
                case .superseded: try require(false, "it was superseded by nothing")
                }
            }
            let late = try await store.save(Samples.entry(key, bytes: [2]), fence: before, releasing: nil)
            try requireEqual(late, .superseded, "the outcome of work from before")
            try await store.save(Samples.entry(key, bytes: [3]))
            try requireEqual(try await store.read(key).entry?.bytes, [3], "the entry saved afterwards")
        },
        Check("a key that the engine can't have is NotStorable, and that harms nothing else") { store in
            let key = longKey
            let now = Samples.now
            for isWarm in [false, true] {
                try await among(store) {
                    let entry = Samples.entry(key, bytes: [1], tags: ["x"])
                    let lease = try await unlessNotStorable {
                        try await store.lease([key], token: "a", until: now + .seconds(30), now: now)
                    }
                    let outcome = try await unlessNotStorable {
                        try await store.save(entry, fence: nil, releasing: "a")
                    }
                    try requireEqual(lease == nil, outcome == nil, "whether it is refused always")
                    let found = try await unlessNotStorable { try await store.read(key).entry?.bytes } ?? nil
                    try requireEqual(found, outcome == nil ? nil : [1], "the entry (the second time: \(isWarm))")
                    _ = try await unlessNotStorable {
                        try await store.extendLease(key, token: "a", until: now + .seconds(30), now: now)
                    }
                    _ = try await unlessNotStorable { try await store.releaseLease(key, token: "a") }
                    // Where nothing can be, there is nothing to purge.
                    let count = outcome == nil ? 0 : 1
                    try requireEqual(try await store.markStale(.key(key), now: now), count, "the number of expired")
                    try requireEqual(try await store.remove(.key(key), now: now), count, "the number of removed")
                }
            }
        },
    ]
}
