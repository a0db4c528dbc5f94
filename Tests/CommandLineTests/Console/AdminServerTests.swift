import HTTPTypes
import Hummingbird
import HummingbirdTesting
import NIOCore
import Perennial
import PerennialConsole
import PerennialTesting
import Synchronization
import Testing

@testable import PerennialConsole

/// The admin address as its visitors see it.
struct AdminServerTests {
    let shelf = Shelf()
    var api: String { Shelf.api }

    @Test func `health, readiness and metrics`() async throws {
        try await shelf.put("\(api)/a")
        try await ask(.get, "/healthz") { #expect($0.status == .ok) }
        try await ask(.get, "/readyz") {
            #expect($0.status == .ok)
            #expect(String(buffer: $0.body) == #"{"ready":true,"reasons":[]}"# + "\n")
        }
        try await ask(.get, "/metrics") {
            #expect($0.headers[.contentType] == "text/plain; version=0.0.4; charset=utf-8")
            let lines = String(buffer: $0.body).split(separator: "\n")
            #expect(lines.contains("perennial_store_entries 1"))
            #expect(lines.contains(#"perennial_jobs{state="queued"} 0"#))
            #expect(lines.contains("# TYPE perennial_store_up gauge"))
        }
    }

    @Test func `a gateway that is not ready says why`() async throws {
        let server = AdminServer(
            administration: shelf.administration(), readiness: { Readiness(reasons: ["the disk is full"]) })
        try await ask(.get, "/readyz", server: server) {
            #expect($0.status == .serviceUnavailable)
            #expect(String(buffer: $0.body) == #"{"ready":false,"reasons":["the disk is full"]}"# + "\n")
        }
    }

    @Test func `a store that does not answer is told by readiness, metrics and the API`() async throws {
        let store = FaultyStore(shelf.backend.store)
        store.faults.failEverything()
        let server = AdminServer(administration: Administration(store: store, queue: shelf.backend.queue))
        try await ask(.get, "/readyz", server: server) { #expect($0.status == .serviceUnavailable) }
        try await ask(.get, "/metrics", server: server) {
            #expect(String(buffer: $0.body).contains("perennial_store_up 0\n"))
        }
        try await ask(.get, "/api/stats", server: server) { #expect($0.status == .serviceUnavailable) }
    }

    @Test func `entries are listed, looked at, marked stale and removed`() async throws {
        try await shelf.put("\(api)/a", tags: ["t"])
        try await shelf.put("\(api)/b")
        try await ask(.get, "/api/entries?limit=1") {
            let page = try decode(Page<EntryReport>.self, $0)
            #expect(page.items.map(\.url) == ["\(api)/a"])
            #expect(page.next == "\(api)/a")
        }
        try await ask(.get, "/api/entries?tag=t") { try #expect(decode(Page<EntryReport>.self, $0).items.count == 1) }
        try await ask(.get, "/api/entry?url=/a") {
            try #expect(decode([EntryDetail].self, $0)[0].response?.status == 200)
        }
        try await ask(.post, "/api/mark-stale", #"{"url": "/a"}"#) {
            #expect(String(buffer: $0.body) == #"{"marked":1}"# + "\n")
        }
        // By the name that it had before.
        try await ask(.post, "/api/expire", #"{"url": "/a"}"#) {
            #expect(String(buffer: $0.body) == #"{"expired":1}"# + "\n")
        }
        try await ask(.post, "/api/remove", #"{"tag": "t"}"#) {
            #expect(String(buffer: $0.body) == #"{"removed":1}"# + "\n")
        }
        try await ask(.get, "/api/stats") { try #expect(decode(StatisticsReport.self, $0).store.entries == 1) }
    }

    @Test func `which entries are meant is said in one way`() async throws {
        for (body, count) in [
            (#"{"prefix": "/a/"}"#, 2), (#"{"match": "/*/1"}"#, 2), (#"{"all": true}"#, 3), (#"{"url": "/a/1"}"#, 1),
        ] {
            for path in ["/a/1", "/a/2", "/b/1"] { try await shelf.put(api + path) }
            try await ask(.post, "/api/remove", body) {
                #expect(String(buffer: $0.body) == #"{"removed":\#(count)}"# + "\n")
            }
        }
        for body in ["{}", #"{"all": false}"#, #"{"prefix": ""}"#, #"{"prefix": "a"}"#, #"{"all": true, "tag": "t"}"#] {
            try await shelf.put("\(api)/a")
            try await ask(.post, "/api/remove", body) { #expect($0.status == .badRequest, "\(body)") }
        }
    }

    @Test func `jobs are listed and replayed`() async throws {
        try await shelf.bury("\(api)/a", error: "refused")
        try await ask(.get, "/api/jobs?state=dead") {
            try #expect(decode(Page<JobReport>.self, $0).items.map(\.error) == ["refused"])
        }
        try await ask(.post, "/api/jobs/replay", #"{"all": true}"#) {
            #expect(String(buffer: $0.body) == #"{"replayed":1}"# + "\n")
        }
        try await ask(.get, "/api/jobs?state=dead") { try #expect(decode(Page<JobReport>.self, $0).items.isEmpty) }
    }

    @Test func `what of an origin is left alone is shown, and asked again`() async throws {
        let origin = OriginGuard(longestRetryAfter: .minutes(1))
        let asked = Mutex<[String?]>([])
        let server = AdminServer(
            administration: shelf.administration(),
            origins: AdminServer.Origins(
                statuses: { ["https://b.test": origin.status, "https://a.test": origin.status] },
                reopen: { target in
                    asked.withLock { $0.append(target) }
                    if target == "nonsense" { throw AdministrationError(.invalid, "no address") }
                    return 2
                }))
        try await ask(.get, "/api/origins", server: server) {
            let reports = try decode([OriginReport].self, $0)
            #expect(reports.map(\.url) == ["https://a.test", "https://b.test"])
            #expect(reports.map(\.state) == [.closed, .closed])
        }
        for body in ["{}", #"{"origin": "https://a.test"}"#, #"{"address": "/x"}"#] {
            try await ask(.post, "/api/origins/reopen", body, server: server) {
                #expect(String(buffer: $0.body) == #"{"reopened":2}"# + "\n")
            }
        }
        #expect(asked.withLock { $0 } == [nil, "https://a.test", "/x"])
        for body in [#"{"address": "nonsense"}"#, #"{"origin": "a", "address": "b"}"#, ""] {
            try await ask(.post, "/api/origins/reopen", body, server: server) { #expect($0.status == .badRequest) }
        }
        // Where nothing asks origins.
        try await ask(.get, "/api/origins") { #expect($0.status == .notFound) }
    }

    @Test func `what is left alone is a note, and no reason not to be ready`() async throws {
        let server = AdminServer(
            administration: shelf.administration(),
            readiness: { Readiness(notes: ["https://a.test is left alone: it broke"]) })
        try await ask(.get, "/readyz", server: server) {
            #expect($0.status == .ok)
            try #expect(decode(Readiness.self, $0).notes == ["https://a.test is left alone: it broke"])
        }
    }

    @Test(arguments: [
        ("/api/entry", HTTPResponse.Status.badRequest), ("/api/entry?url=/nothing", .notFound),
        ("/api/entry?url=nonsense", .badRequest), ("/api/entries?limit=0", .badRequest),
        ("/api/entries?limit=many", .badRequest), ("/api/jobs?state=lost", .badRequest), ("/api/nothing", .notFound),
    ])
    func `a wrong question gets its status and one sentence in JSON`(uri: String, status: HTTPResponse.Status)
        async throws
    {
        try await shelf.put("\(api)/a")
        try await ask(.get, uri) {
            #expect($0.status == status)
            try #expect(decode([String: String].self, $0)["error"]?.isEmpty == false)
        }
    }

    @Test(arguments: ["", "[]", "{}", #"{"url": "/a", "tag": "t"}"#, #"{"url": 1}"#])
    func `a wrong body is a bad request`(body: String) async throws {
        try await ask(.post, "/api/mark-stale", body) { #expect($0.status == .badRequest) }
    }

    @Test func `a body larger than what is kept is told as that`() async throws {
        let server = AdminServer(
            administration: shelf.administration(), token: "a-token-for-tests",
            accept: { _ in throw AdministrationError(.tooLarge, "the body has 9 bytes") })
        let headers: HTTPFields = [.authorization: "Bearer a-token-for-tests"]
        try await ask(.put, "/api/entries/https%3A%2F%2Fa.test%2Fx", "too large", headers: headers, server: server) {
            #expect($0.status == .contentTooLarge)
            try #expect(decode([String: String].self, $0)["error"] == "the body has 9 bytes")
        }
    }

    @Test func `a form can't post`() async throws {
        try await shelf.put("\(api)/a")
        try await ask(.post, "/api/remove", #"{"url": "/a"}"#, headers: [.contentType: "text/plain"]) {
            #expect($0.status == .unsupportedMediaType)
        }
        #expect(try await shelf.administration().statistics().store.entries == 1)
    }

    @Test func `a page of another site can't do anything`() async throws {
        try await shelf.put("\(api)/a")
        let headers: HTTPFields = [.contentType: "application/json", .origin: "https://evil.example"]
        try await ask(.post, "/api/remove", #"{"url": "/a"}"#, headers: headers) { #expect($0.status == .forbidden) }
        #expect(try await shelf.administration().statistics().store.entries == 1)
    }

    private func ask(
        _ method: HTTPRequest.Method, _ uri: String, _ body: String? = nil,
        headers: HTTPFields = [.contentType: "application/json"], server: AdminServer? = nil,
        check: @escaping @Sendable (TestResponse) throws -> Void
    ) async throws {
        let server = server ?? AdminServer(administration: shelf.administration())
        try await Application(router: server.router()).test(.router) { client in
            try await client.execute(
                uri: uri, method: method, headers: headers, body: body.map { ByteBuffer(string: $0) },
                testCallback: check)
        }
    }
}
