import Perennial
import PerennialConsole
import PerennialHTTP
import PerennialTesting
import Testing

/// What an operator sees and does.
struct AdministrationTests {
    let shelf = Shelf()
    var api: String { Shelf.api }

    @Test func `entries come in pages, in the order of their addresses`() async throws {
        for number in 1...5 { try await shelf.put("\(api)/\(number)") }
        let administration = shelf.administration()
        let first = try await administration.entries(limit: 2)
        #expect(first.items.map(\.url) == ["\(api)/1", "\(api)/2"])
        let second = try await administration.entries(after: first.next, limit: 2)
        #expect(second.items.map(\.url) == ["\(api)/3", "\(api)/4"])
        let third = try await administration.entries(after: second.next, limit: 2)
        #expect(third.items.map(\.url) == ["\(api)/5"])
        #expect(third.next == nil)
    }

    @Test func `a prefix chooses, the address itself included, and may be a path`() async throws {
        for path in ["/a", "/a/1", "/a/2", "/ab", "/b"] { try await shelf.put(api + path) }
        let administration = shelf.administration()
        let urls = try await administration.entries(prefix: "\(api)/a", limit: 10).items.map(\.url)
        #expect(urls == ["/a", "/a/1", "/a/2", "/ab"].map { api + $0 })
        #expect(try await administration.entries(prefix: "/a/", limit: 10).items.count == 2)
        let page = try await administration.entries(prefix: "\(api)/a", limit: 2)
        #expect(page.items.count == 2)
        #expect(try await administration.entries(prefix: "\(api)/a", after: page.next, limit: 10).items.count == 2)
    }

    @Test func `a tag chooses`() async throws {
        try await shelf.put("\(api)/a", tags: ["x", "y"])
        try await shelf.put("\(api)/b", tags: ["y"])
        let page = try await shelf.administration().entries(tag: "x", limit: 10)
        #expect(page.items.map(\.url) == ["\(api)/a"])
        #expect(page.items[0].tags == ["x", "y"])
    }

    @Test func `an entry's details tell state, age, limits and the answer's head`() async throws {
        try await shelf.put("\(api)/a", body: "hello")
        shelf.clock.advance(by: .hours(2))
        let details = try await shelf.administration().details(of: "/a")
        #expect(details.count == 1)
        let entry = details[0].entry
        #expect(entry.state == .stale)
        #expect(entry.ageSeconds == 7200)
        #expect(entry.limits == LimitsReport(Limits(raising: .hours(1), .days(7), .days(7))))
        #expect(entry.etag == "\"1\"")
        #expect(details[0].response?.status == 200)
        #expect(details[0].response?.headers.first == .init(name: "Content-Type", value: "text/plain"))
        #expect(details[0].job == nil)
    }

    @Test func `the variants of an address are shown, marked stale and removed with it`() async throws {
        let variant = "\(api)/a accept-language=de"
        try await shelf.put("\(api)/a")
        try await shelf.put(variant, tags: ["\(api)/a"])
        try await shelf.put("\(api)/a/b")
        let administration = shelf.administration()
        let details = try await administration.details(of: "\(api)/a")
        #expect(details.map(\.entry.variant) == [nil, "accept-language=de"])
        #expect(details.map(\.entry.tags) == [[], []])
        #expect(try await administration.markStale(.url("/a")) == 2)
        #expect(try await administration.details(of: "/a").allSatisfy { $0.entry.state == .stale })
        #expect(try await administration.remove(.url("/a")) == 2)
        #expect(try await administration.entries(limit: 10).items.map(\.url) == ["\(api)/a/b"])
    }

    @Test func `a prefix, a pattern or everything is marked stale and removed, variants included`() async throws {
        let paths = ["/items", "/items/1", "/items/1?page=2", "/items/2", "/item", "/users/1.json", "/v2/users/1.json"]
        func stocked() async throws -> Administration {
            for path in paths { try await shelf.put(api + path) }
            try await shelf.put("\(api)/items/1 accept-language=de", tags: ["\(api)/items/1"])
            return shelf.administration()
        }
        for (target, count) in [
            (AdministrationTarget.prefix("/items"), 5), (.prefix("\(api)/items/1"), 3), (.prefix("/nothing"), 0),
            (.match("/items/1"), 2), (.match("/items/*"), 4), (.match("*/users/*.json"), 2), (.match("/*?page=*"), 1),
            (.match("\(api)/users/*"), 1), (.match("*"), 8), (.all, 8),
        ] {
            let administration = try await stocked()
            #expect(try await administration.markStale(target) == count, "\(target)")
            let states = try await administration.entries(limit: 100).items.map(\.state)
            #expect(states.count { $0 == .stale } == count, "\(target)")
            #expect(try await administration.remove(target) == count, "\(target)")
            #expect(try await administration.entries(limit: 100).items.count == 8 - count, "\(target)")
            _ = try await administration.remove(.all)
        }
    }

    @Test func `many entries are marked stale and removed page by page`() async throws {
        for number in 0..<1203 { try await shelf.put("\(api)/\(number)") }
        let administration = shelf.administration()
        #expect(try await administration.markStale(.prefix("/")) == 1203)
        #expect(try await administration.remove(.match("/*1")) == 121)
        #expect(try await administration.remove(.prefix("\(api)/")) == 1082)
    }

    @Test(arguments: ["items", "items*", "ttp://x", "", "ftp://x"])
    func `what no address begins with is an error`(text: String) async throws {
        try await shelf.put("\(api)/items")
        let administration = shelf.administration()
        for target in [AdministrationTarget.prefix(text), .match(text)] where !(text.isEmpty && target == .match("")) {
            let error = await #expect(throws: AdministrationError.self) { try await administration.remove(target) }
            #expect(error?.kind == .invalid)
        }
        if !text.isEmpty {
            await #expect(throws: AdministrationError.self) { try await administration.entries(prefix: text, limit: 1) }
        }
        #expect(try await administration.entries(limit: 1).items.count == 1)
    }

    @Test func `a job is shown with its entry`() async throws {
        try await shelf.put("\(api)/a")
        try await shelf.bury("\(api)/a", error: "503")
        let job = try await shelf.administration().details(of: "/a")[0].job
        #expect(job?.state == .dead)
        #expect(job?.error == "503")
    }

    @Test func `what is not there is said to be so`() async throws {
        try await shelf.put("\(api)/a")
        let administration = shelf.administration()
        let missing = AdministrationError(.notFound, "nothing is saved for \(api)/b")
        await #expect(throws: missing) { try await administration.details(of: "/b") }
        await #expect(throws: missing) { try await administration.markStale(.url("/b")) }
        await #expect(throws: missing) { try await administration.remove(.url("/b")) }
        #expect(try await administration.remove(.tag("none")) == 0)
    }

    @Test(arguments: [
        "https://api.example.com/a?b=%41#c", "HTTPS://API.EXAMPLE.COM:443/x/../a?b=A", "/a?b=A", "/./a?b=%41",
    ])
    func `an address is found however it is written`(url: String) async throws {
        try await shelf.put("\(api)/a?b=A")
        #expect(try await shelf.administration().details(of: url).count == 1)
    }

    @Test func `a path alone needs one origin`() async throws {
        let empty = await #expect(throws: AdministrationError.self) {
            try await shelf.administration().details(of: "/a")
        }
        #expect(empty?.kind == .notFound)
        for origin in ["https://api.example.com-x", "https://api.example.com:8443", "http://api.example.com"] {
            let shelf = Shelf()
            try await shelf.put("\(api)/a")
            try await shelf.put("\(origin)/a")
            let error = await #expect(throws: AdministrationError.self) {
                try await shelf.administration().details(of: "/a")
            }
            #expect(error?.kind == .invalid)
            let named = shelf.administration(origin: try OriginURL(api))
            #expect(try await named.details(of: "/a").map(\.entry.url) == ["\(api)/a"])
        }
    }

    @Test(arguments: ["users", "ftp://x/y", "https://", ""])
    func `what is no address is an error`(url: String) async throws {
        let error = await #expect(throws: AdministrationError.self) {
            try await shelf.administration().details(of: url)
        }
        #expect(error?.kind == .invalid)
    }

    @Test func `dead jobs are listed and replayed, one or all`() async throws {
        for number in 1...3 { try await shelf.bury("\(api)/\(number)", error: "refused") }
        let administration = shelf.administration()
        shelf.clock.advance(by: .minutes(1))
        let dead = try await administration.jobs(state: .dead, limit: 10).items
        #expect(dead.map(\.ageSeconds) == [60, 60, 60])
        #expect(try await administration.replay(dead[0].id) == 1)
        await #expect(throws: AdministrationError.self) { try await administration.replay(dead[0].id) }
        #expect(try await administration.replay(nil) == 2)
        let statistics = try await administration.statistics()
        #expect(statistics.jobs.queued == 3)
        #expect(statistics.jobs.dead == 0)
    }
}
