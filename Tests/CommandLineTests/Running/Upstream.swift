import AsyncHTTPClient
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import NIOHTTP1
import Synchronization

/// An origin in this process: counts what it is asked, and gives a new body each time.
final class Upstream: Sendable {
    private let count = Atomic<Int>(0)
    private let running = Mutex<Task<Void, any Error>?>(nil)
    private let port = Mutex(0)

    var url: String { "http://127.0.0.1:\(port.withLock { $0 })" }
    var asked: Int { count.load(ordering: .relaxed) }

    init() async throws {
        let (ports, found) = AsyncStream.makeStream(of: Int.self)
        let router = Router(context: BasicRequestContext.self)
        router.get("/**") { [unowned self] request, _ in
            let number = count.add(1, ordering: .relaxed).newValue
            if request.uri.path.hasPrefix("/busy") {
                return Response(status: .serviceUnavailable, headers: [.retryAfter: "3000"])
            }
            if request.uri.path.hasPrefix("/once"), number > 1 {
                return Response(status: .notFound, body: .init(byteBuffer: ByteBuffer(string: "gone")))
            }
            if request.uri.path == "/broken" { return Response(status: .internalServerError) }
            if request.uri.path.hasPrefix("/silent") { return Response(status: .ok) }
            return Response(
                status: .ok,
                headers: [.contentType: "text/plain", .cacheControl: "max-age=600", .eTag: "\"\(number)\""],
                body: .init(byteBuffer: ByteBuffer(string: "answer \(number)")))
        }
        let application = Application(
            router: router, configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { found.yield($0.localAddress?.port ?? 0) },
            logger: Logger(label: "upstream") { _ in SwiftLogNoOpLogHandler() })
        running.withLock { $0 = Task { try await application.run() } }
        for await number in ports {
            port.withLock { $0 = number }
            break
        }
    }

    /// Closes the address; what is asked from now on is refused.
    func stop() async {
        let task = running.withLock { $0.take() }
        task?.cancel()
        _ = await task?.result
    }
}

struct Reply {
    var status: Int
    var headers: HTTPHeaders
    var body: String
}

func get(_ url: String, method: HTTPMethod = .GET, headers: HTTPHeaders = [:], body: String? = nil) async throws
    -> Reply
{
    var request = HTTPClientRequest(url: url)
    request.method = method
    request.headers = headers
    if let body { request.body = .bytes(ByteBuffer(string: body)) }
    let response = try await HTTPClient.shared.execute(request, timeout: .seconds(30))
    let bytes = try await response.body.collect(upTo: 1 << 20)
    return Reply(status: Int(response.status.code), headers: response.headers, body: String(buffer: bytes))
}
