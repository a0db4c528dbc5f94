import Perennial

extension StoreConformance {
    private static func page(
        _ store: any Store, cache: String? = nil, tag: String? = nil, by limit: Int
    ) async throws -> [EntryMetadata] {
        var all: [EntryMetadata] = []
        while true {
            let page = try await store.list(cache: cache, tag: tag, after: all.last?.key, limit: limit)
            try require(page.count <= limit, "a page of \(limit) has \(page.count) entries")
            if page.isEmpty { return all }
            all += page
            try require(all.count <= 1000, "the pages don't end")
        }
    }

    static let listChecks: [Check] = [
        Check("an empty store lists nothing") { store in
            try requireEqual(try await store.list(cache: nil, tag: nil, after: nil, limit: 10), [], "the list")
        },
        Check("entries are listed in the order of cache and key, page by page, each once") { store in
            let keys = ["people", "places", "a"].flatMap { cache in
                ["b", "a", "Z", "é", "z", "10", "9", "", "日本", "a/b", "a b"].map { Samples.key($0, cache: cache) }
            }
            var wanted: [EntryMetadata] = []
            for key in keys {
                var entry = Samples.entry(key, tags: ["x", "y"], validator: Validator(etag: "\"\(key)\""))
                entry.metadata.generation = try await store.save(entry)
                wanted.append(entry.metadata)
            }
            wanted.sort { $0.key < $1.key }
            for limit in [1, 4, 33, 100] {
                let found = try await page(store, by: limit)
                try requireEqual(found.map(\.key), wanted.map(\.key), "the order of keys in pages of \(limit)")
                try requireEqual(found, wanted, "the metadata in pages of \(limit)")
            }
            let people = wanted.filter { $0.key.cache == "people" }
            try requireEqual(try await page(store, cache: "people", by: 3), people, "one cache's entries")
            try requireEqual(try await page(store, cache: "nobody", by: 3), [], "an unknown cache's entries")
        },
        Check("entries are listed by tag, in one cache or in all, page by page") { store in
            for number in 0..<30 {
                let key = Samples.key("\(number)", cache: number % 2 == 0 ? "even" : "odd")
                try await store.save(Samples.entry(key, tags: number % 3 == 0 ? ["third"] : ["other", "third party"]))
            }
            let third = (0..<30).filter { $0 % 3 == 0 }
            let all = third.map { Samples.key("\($0)", cache: $0 % 2 == 0 ? "even" : "odd") }.sorted()
            try requireEqual(try await page(store, tag: "third", by: 4).map(\.key), all, "what the tag finds")
            let even = all.filter { $0.cache == "even" }
            let found = try await page(store, cache: "even", tag: "third", by: 2).map(\.key)
            try requireEqual(found, even, "what the tag finds in one cache")
        },
        Check("a list can begin behind a key that is not there") { store in
            try await store.save(Samples.entry(Samples.key("a")))
            try await store.save(Samples.entry(Samples.key("c")))
            let found = try await store.list(cache: nil, tag: nil, after: Samples.key("b"), limit: 10).map(\.key)
            try requireEqual(found, [Samples.key("c")], "the list")
        },
        Check("a limit of zero lists nothing") { store in
            try await store.save(Samples.entry())
            try requireEqual(try await store.list(cache: nil, tag: nil, after: nil, limit: 0), [], "the list")
        },
    ]

    private static func hotKeys(_ store: any Store, _ cache: String) async throws -> [String] {
        var all: [String] = []
        for page in 0..<100 {
            let some = try await store.hotKeys(cache: cache, page: page)
            if some.isEmpty { return all }
            all += some
        }
        throw ConformanceFailure(description: "the pages of hot keys don't end")
    }

    static let hotKeyChecks: [Check] = [
        Check("hot keys come back as they were kept, for each cache the last, or none ever do") { store in
            try requireEqual(try await hotKeys(store, "people"), [], "hot keys before any were kept")
            let odd = ["b", "a", "", "é\n日本", "back\\slash", "a"] + (0..<9_000).map { "https://example.com/\($0)" }
            try await store.saveHotKeys(odd + odd, cache: "people")
            try await store.saveHotKeys(odd, cache: "people")
            try await store.saveHotKeys(["x"], cache: "places")
            try await store.saveHotKeys(["y"], cache: "emptied")
            try await store.saveHotKeys([], cache: "emptied")
            let found = try await hotKeys(store, "people")
            if found.isEmpty { return }
            try requireEqual(found, odd, "hot keys")
            try requireEqual(try await hotKeys(store, "places"), ["x"], "another cache's")
            try requireEqual(try await hotKeys(store, "emptied"), [], "those of a cache that kept none at last")
        }
    ]
}
