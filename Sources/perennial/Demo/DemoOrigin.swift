import ArgumentParser
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import Synchronization

/// The demo's API: slow, strict about how often it is asked, and its answers change every few seconds.
struct DemoOriginCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "demo-origin", shouldDisplay: false)

    /// How long it thinks about every answer.
    static let delay = Duration.milliseconds(800)
    /// How long an answer stays the same.
    static let change = Duration.seconds(2)

    mutating func run() async throws {
        let start = ContinuousClock.now
        let limit = Mutex(RequestLimit(count: 5, window: .seconds(2)))
        let asked = Atomic<Int>(0)
        let router = Router(context: BasicRequestContext.self)
        router.get("/asked") { _, _ in
            Response(status: .ok, body: .init(byteBuffer: ByteBuffer(string: String(asked.load(ordering: .relaxed)))))
        }
        router.get("/**") { request, _ in
            asked.add(1, ordering: .relaxed)
            var headers = HTTPFields()
            if let wait = limit.withLock({ $0.admit(at: .now) }) {
                headers[.retryAfter] = String(wait)
                return Response(
                    status: .tooManyRequests, headers: headers,
                    body: .init(byteBuffer: ByteBuffer(string: "Slow down: try again in \(wait) s.\n")))
            }
            try await Task.sleep(for: Self.delay)
            let version = Int((ContinuousClock.now - start) / Self.change) + 1
            let etag = "\"v\(version)\""
            headers[.eTag] = etag
            if request.headers[.ifNoneMatch] == etag { return Response(status: .notModified, headers: headers) }
            headers[.contentType] = "application/json"
            return Response(
                status: .ok, headers: headers,
                body: .init(
                    byteBuffer: ByteBuffer(string: "{\"path\": \"\(request.uri.path)\", \"version\": \(version)}\n")))
        }
        var logger = Logger(label: "demo-origin") { _ in SwiftLogNoOpLogHandler() }
        logger.logLevel = .critical
        let server = Application(
            router: router, configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { channel in Console.print("http://127.0.0.1:\(channel.localAddress?.port ?? 0)") },
            logger: logger)
        try await withThrowingTaskGroup { group in
            group.addTask { try await server.run() }
            group.addTask { await inputEnd() }
            try await group.next()
            group.cancelAll()
        }
    }
}

/// At most `count` requests in any `window`.
struct RequestLimit {
    private let count: Int
    private let window: Duration
    private var recent: [ContinuousClock.Instant] = []

    init(count: Int, window: Duration) {
        self.count = count
        self.window = window
    }

    /// Lets a request in, or says in how many whole seconds to come again.
    mutating func admit(at now: ContinuousClock.Instant) -> Int? {
        recent.removeAll { now - $0 >= window }
        if recent.count < count {
            recent.append(now)
            return nil
        }
        return max(1, Int((window - (now - recent[0])).components.seconds) + 1)
    }
}
