import Perennial

extension StoreConformance {
    static let savingChecks: [Check] = [
        Check("a key that was never written is missing") { store in
            try requireEqual(try await store.read(Samples.key()).entry, nil, "the entry")
        },
        Check("what is saved is read, with all its metadata, its generation and its size") { store in
            var entry = Samples.entry(
                tags: ["a", "b"], validator: Validator(etag: "W/\"x\"", lastModified: "Sun, 06 Nov 1994 08:49:37 GMT"))
            entry.metadata.savedAt = Samples.now - .hours(3)
            entry.metadata.markedStaleAt = Samples.now + .minutes(1)
            entry.metadata.format = "plist"
            entry.metadata.size = 1
            entry.metadata.generation = Generation(77)
            let generation = try await store.save(entry)
            entry.metadata.generation = generation
            entry.metadata.size = entry.bytes.count
            try requireEqual(try await store.read(Samples.key()).entry, entry, "the entry")
        },
        Check("who reads at once, if the store lets one, reads what everybody reads") { store in
            for _ in 0..<20 {
                try await store.save(Samples.entry())
                _ = try await store.markStale(.key(Samples.key()), now: Samples.now)
                let keys = [Samples.key(), Samples.key("missing")]
                let records = try await store.read(keys)
                if let now = store.readNow(keys) { try requireEqual(now, records, "what is read at once") }
                _ = try await store.remove(.key(Samples.key()), now: Samples.now)
                if let now = store.readNow(keys) { try requireEqual(now.map(\.entry), [nil, nil], "what was removed") }
            }
        },
        Check("limits that are never reached and times at their ends are kept") { store in
            var entry = Samples.entry()
            entry.metadata.limits = Limits(raising: .zero, .seconds(1), .forever)
            entry.metadata.savedAt = Timestamp(milliseconds: 0)
            let generation = try await store.save(entry)
            entry.metadata.generation = generation
            try requireEqual(try await store.read(Samples.key()).entry, entry, "the entry")
        },
        Check("an absent entry is kept without bytes") { store in
            var entry = Samples.entry(bytes: [])
            entry.metadata.isAbsent = true
            try await store.save(entry)
            let found = try await store.read(Samples.key()).entry
            try requireEqual(found?.metadata.isAbsent, true, "isAbsent")
            try requireEqual(found?.bytes, [], "the bytes")
        },
        Check("empty bytes are a value, not an absent one") { store in
            try await store.save(Samples.entry(bytes: []))
            let found = try await store.read(Samples.key()).entry
            try requireEqual(found?.metadata.isAbsent, false, "isAbsent")
            try requireEqual(found?.bytes, [], "the bytes")
        },
        Check("two megabytes of bytes of every value are kept") { store in
            let bytes = (0..<2_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
            try await store.save(Samples.entry(bytes: bytes))
            let found = try await store.read(Samples.key()).entry
            try require(found?.bytes == bytes, "the bytes are not those that were saved")
            try requireEqual(found?.metadata.size, bytes.count, "the size")
        },
        Check("odd keys, caches and tags are kept apart") { store in
            let names = [
                "", " ", "a", "A", "a ", "%", "_", "*", "?", "'", "\"", "\\", "/", ":", "a:b", "a/b", "\n", "\r\n",
                "\t",
                "\u{1F}", "é", "ü😀", "日本語", "null", "0", "1", "1.0", String(repeating: "long/", count: 400),
            ]
            let keys = names.flatMap { name in [Samples.key(name), Samples.key("same", cache: name)] }
            for (number, key) in keys.enumerated() {
                try await store.save(Samples.entry(key, bytes: [UInt8(number)], tags: [key.key]))
            }
            let records = try await store.read(keys)
            for (number, (key, record)) in zip(keys, records).enumerated() {
                try requireEqual(record.entry?.bytes, [UInt8(number)], "the value of \(String(reflecting: key))")
                try requireEqual(record.entry?.metadata.key, key, "the key")
                try requireEqual(record.entry?.metadata.tags, [key.key], "the tags of \(String(reflecting: key))")
            }
        },
        Check("many tags and odd tags are kept") { store in
            let tags = ((0..<200).map { "tag \($0)" } + ["", ",", "a,b", "\n", "\\n", "\\", "é", "\u{1F}"]).sorted()
            try await store.save(Samples.entry(tags: tags))
            try requireEqual(try await store.read(Samples.key()).entry?.metadata.tags, tags, "the tags")
        },
        Check("records come in the order of the keys, missing ones and repeats included") { store in
            try await store.save(Samples.entry(Samples.key("a"), bytes: [1]))
            try await store.save(Samples.entry(Samples.key("c"), bytes: [3]))
            let keys = ["c", "b", "a", "c"].map { Samples.key($0) }
            let found = try await store.read(keys).map { $0.entry?.bytes }
            try requireEqual(found, [[3], nil, [1], [3]], "the values")
            try requireEqual(try await store.read([]).count, 0, "the number of records for no keys")
        },
        Check("a thousand keys are read at once") { store in
            let keys = (0..<1000).map { Samples.key("key \($0)") }
            for key in keys { try await store.save(Samples.entry(key, bytes: Array(key.key.utf8))) }
            let found = try await store.read(keys).map { $0.entry?.bytes }
            try require(found == keys.map { Array($0.key.utf8) }, "the values are not those that were saved")
        },
        Check("every write gets a greater generation") { store in
            var last = Generation.zero
            for number in 0..<20 {
                let generation = try await store.save(Samples.entry(bytes: [UInt8(number)]))
                try require(generation > last, "generation \(generation) follows \(last)")
                last = generation
            }
            let read = try await store.read(Samples.key())
            try requireEqual(read.entry?.metadata.generation, last, "the generation that was read")
            try require(read.fence >= last, "the fence is \(read.fence), before the last write (\(last))")
            _ = try await store.markStale(.key(Samples.key()), now: Samples.now)
            let expired = try await store.read(Samples.key()).entry?.metadata.generation ?? .zero
            try require(expired > last, "generation \(expired) after expiring follows \(last)")
        },
        Check("a later save replaces everything") { store in
            var first = Samples.entry(tags: ["old"], validator: Validator(etag: "\"1\""))
            first.metadata.markedStaleAt = Samples.now
            try await store.save(first)
            var second = Samples.entry(bytes: [2], at: Samples.now + .hours(1), tags: ["new"])
            second.metadata.generation = try await store.save(second)
            try requireEqual(try await store.read(Samples.key()).entry, second, "the entry")
            let tagged = try await store.list(cache: nil, tag: "old", after: nil, limit: 10)
            try requireEqual(tagged, [], "what the old tag finds")
        },
        Check("a confirmation keeps bytes, savedAt, isAbsent and format and takes the rest") { store in
            let old = Samples.entry(tags: ["old"], validator: Validator(etag: "\"1\""))
            let generation = try await store.save(old)
            var confirmed = old.metadata
            confirmed.confirmedAt = Samples.now + .hours(2)
            confirmed.limits = Limits(raising: .minutes(5), .minutes(6), .minutes(7))
            confirmed.validator = Validator(etag: "\"2\"")
            confirmed.tags = ["new"]
            var sent = confirmed
            sent.savedAt = Samples.now + .hours(2)
            sent.isAbsent = true
            sent.format = "other"
            sent.size = 0
            let outcome = try await store.confirm(sent, fence: nil, releasing: nil)
            confirmed.generation = try outcome.generation()
            try require(confirmed.generation > generation, "a confirmation got no greater generation")
            let wanted = StoredEntry(metadata: confirmed, bytes: old.bytes)
            try requireEqual(try await store.read(Samples.key()).entry, wanted, "the entry")
            let tagged = try await store.list(cache: nil, tag: "old", after: nil, limit: 10)
            try requireEqual(tagged, [], "what the old tag finds")
            let found = try await store.list(cache: nil, tag: "new", after: nil, limit: 10)
            try requireEqual(found, [confirmed], "what the new tag finds")
        },
        Check("a confirmation makes an entry that was expired by hand fresh again") { store in
            let old = Samples.entry()
            try await store.save(old)
            _ = try await store.markStale(.key(Samples.key()), now: Samples.now)
            _ = try await store.confirm(old.metadata, fence: nil, releasing: nil)
            try requireEqual(try await store.read(Samples.key()).entry?.metadata.markedStaleAt, nil, "markedStaleAt")
        },
        Check("a confirmation of an entry that is no longer there is superseded") { store in
            let entry = Samples.entry()
            let never = try await store.confirm(entry.metadata, fence: nil, releasing: nil)
            try requireEqual(never, .superseded, "the outcome for a key that never was")
            try await store.save(entry)
            _ = try await store.remove(.key(Samples.key()), now: Samples.now)
            let removed = try await store.confirm(entry.metadata, fence: nil, releasing: nil)
            try requireEqual(removed, .superseded, "the outcome for a removed key")
            try requireEqual(try await store.read(Samples.key()).entry, nil, "the entry")
        },
        Check("statistics count entries and bytes") { store in
            try requireEqual(try await store.statistics().entries, 0, "the number of entries")
            try await store.save(Samples.entry(Samples.key("a"), bytes: Array(repeating: 1, count: 5000)))
            try await store.save(Samples.entry(Samples.key("b"), bytes: Array(repeating: 1, count: 5000)))
            try await store.save(Samples.entry(Samples.key("b"), bytes: Array(repeating: 1, count: 7000)))
            let two = try await store.statistics()
            try requireEqual(two.entries, 2, "the number of entries")
            try require(two.bytes >= 12_000, "\(two.bytes) bytes are counted for 12,000")
            _ = try await store.remove(.key(Samples.key("a")), now: Samples.now)
            let one = try await store.statistics()
            try requireEqual(one.entries, 1, "the number of entries")
            try require(one.bytes < two.bytes, "the bytes did not shrink with a removal")
        },
        Check("a store that has a name keeps it") { store in
            let name = try await store.identity()
            try require(name?.contains("/") != true, "the name \(name ?? "") has a slash")
            try await store.save(Samples.entry())
            _ = try await store.remove(.cache("people"), now: Samples.now)
            try await store.saveHotKeys(["ada"], cache: "")
            try requireEqual(try await store.identity(), name, "the name")
            let names = try await withThrowingTaskGroup(of: String?.self) { group in
                for _ in 0..<20 { group.addTask { try await store.identity() } }
                return try await group.reduce(into: Set<String?>()) { $0.insert($1) }
            }
            try requireEqual(names, [name], "the names that many learn")
        },
        Check("concurrent saves of many keys are all kept") { store in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<200 {
                    group.addTask {
                        let key = Samples.key("key \(number % 50)")
                        try await store.save(Samples.entry(key, bytes: Array(key.key.utf8)))
                    }
                }
                try await group.waitForAll()
            }
            let keys = (0..<50).map { Samples.key("key \($0)") }
            let records = try await store.read(keys)
            try require(records.map { $0.entry?.bytes } == keys.map { Array($0.key.utf8) }, "a value is not as saved")
            let generations = Set(records.compactMap { $0.entry?.metadata.generation })
            try requireEqual(generations.count, 50, "the number of different generations")
        },
    ]
}
