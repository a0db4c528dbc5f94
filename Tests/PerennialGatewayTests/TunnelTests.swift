import NIOConcurrencyHelpers
import NIOCore
import NIOSSL
import PerennialHTTP
import Testing

@testable import PerennialGateway

/// Connections that are changed to another protocol: WebSockets.
@Suite struct TunnelTests {
    private static let wish =
        "GET /chat HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
        + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nCookie: a=b\r\n\r\n"
    private static let yes =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        + "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"

    @Test func `once the origin agrees, bytes go both ways`() async throws {
        let origin = try await RawOrigin { _ in (Self.yes, .echoes) }
        try await withGateway(before: origin) { gateway, port in
            let client = try await Self.open(port)
            let head = try #require(origin.heads.first)
            for line in [
                "GET /chat HTTP/1.1", "Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Cookie: a=b", "Via: 1.1 perennial",
            ] { #expect(head.contains(line + "\r\n"), "\(line)") }
            // Not taken for requests, whatever they look like.
            for text in ["\u{1}\u{2}hello", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\r\n"] {
                try await client.send(text)
                #expect(
                    try await client.take { $0.count >= text.utf8.count ? text.utf8.count : nil } == Array(text.utf8))
            }
            #expect(gateway.metrics.openTunnels == 1 && gateway.metrics.tunnels == 1)
            #expect(origin.heads.count == 1)
            await client.close()
            try await eventually { origin.ended > 0 && gateway.metrics.openTunnels == 0 }
        }
    }

    @Test(arguments: [426, 200, 403])
    func `an origin that does not agree answers, and the connection goes on`(status: Int) async throws {
        let origin = try await RawOrigin { _ in
            ("HTTP/1.1 \(status) X\r\nSec-WebSocket-Version: 13\r\nContent-Length: 2\r\n\r\nno", .echoes)
        }
        try await withGateway(before: origin) { gateway, port in
            let client = try await TestClient(port: port)
            try await client.send(Self.wish + "GET /2 HTTP/1.1\r\nHost: x\r\n\r\n")
            for _ in 0..<2 {
                let answer = try await client.response()
                #expect(answer.status == status && answer.body == "no" && answer.field("Connection") == nil)
            }
            #expect(gateway.metrics.tunnels == 0)
            #expect(origin.heads.map { $0.prefix(11) } == ["GET /chat H", "GET /2 HTTP"])
            await client.close()
        }
    }

    @Test(arguments: ["Upgrade: h2c\r\n", "", "Upgrade: websocket, h2c\r\n"])
    func `a change to what nobody asked for is no answer`(field: String) async throws {
        let origin = try await RawOrigin { _ in ("HTTP/1.1 101 X\r\nConnection: upgrade\r\n\(field)\r\n", .echoes) }
        try await withGateway(before: origin) { gateway, port in
            let client = try await TestClient(port: port)
            try await client.send(Self.wish)
            let answer = try await client.response()
            #expect(answer.status == 502 && answer.cacheStatus.hasSuffix("detail=http_protocol_error"))
            #expect(gateway.metrics.tunnels == 0)
            await client.close()
        }
    }

    @Test func `what is sent before the origin has agreed ends the connection`() async throws {
        let origin = try await RawOrigin { _ in (Self.yes, .echoes) }
        try await withGateway(before: origin) { gateway, port in
            for early in ["GET /2 HTTP/1.1\r\nHost: x\r\n\r\n", "GET /2"] {
                let client = try await TestClient(port: port)
                try await client.send(Self.wish + early)
                #expect(await client.rest().isEmpty)
                await client.close()
            }
            #expect(gateway.metrics.tunnels == 0)
            #expect(!origin.heads.contains { $0.contains("/2") })
        }
    }

    @Test func `either side may end it, and gets what the other still has to say`() async throws {
        let ends = try await RawOrigin { _ in (Self.yes, .closes) }
        try await withGateway(before: ends) { gateway, port in
            let client = try await Self.open(port)
            #expect(await client.rest().isEmpty)
            await client.close()
            try await eventually { gateway.metrics.openTunnels == 0 && gateway.metrics.openConnections == 0 }
        }
        let origin = try await RawOrigin { _ in (Self.yes, .echoes) }
        try await withGateway(before: origin) { gateway, port in
            let client = try await Self.open(port)
            try await client.send("last words, ")
            try await client.closeSending()
            #expect(String(decoding: await client.rest(), as: UTF8.self) == "last words, bye")
            await client.close()
            try await eventually { gateway.metrics.openTunnels == 0 }
        }
    }

    @Test func `neither side gets more than it takes`() async throws {
        let pieces = 1024
        let fromOrigin = NIOLockedValueBox(0)
        let talks = try await RawOrigin { head in
            let isSlow = head.contains("X-Slow")
            return (
                Self.yes,
                .talks(
                    pieces: pieces,
                    taken: { number in
                        if isSlow { fromOrigin.withLockedValue { $0 = number } }
                    })
            )
        }
        try await withGateway(before: talks) { _, port in
            let slow = try await Self.open(port, "X-Slow: 1\r\n")
            try await slow.setReading(false)
            // While another one gets all of 64 MiB.
            let quick = try await Self.open(port)
            #expect(try await quick.sizeOfRest(atLeast: pieces << 16) == pieces << 16)
            #expect(fromOrigin.withLockedValue { $0 } < pieces)
            try await slow.setReading(true)
            #expect(try await slow.sizeOfRest(atLeast: pieces << 16) == pieces << 16)
            await quick.close()
            await slow.close()
        }
        let fromClient = NIOLockedValueBox(0)
        let deaf = try await RawOrigin { ($0.contains("X-Slow") ? (Self.yes, .isDeaf) : (Self.yes, .echoes)) }
        try await withGateway(before: deaf) { _, port in
            let slow = try await Self.open(port, "X-Slow: 1\r\n")
            let piece = [UInt8](repeating: 1, count: 64 << 10)
            let sending = Task {
                for number in 1...pieces {
                    try await slow.send(bytes: piece)
                    fromClient.withLockedValue { $0 = number }
                }
            }
            let quick = try await Self.open(port)
            async let echoed = quick.sizeOfRest(atLeast: pieces << 16)
            for _ in 0..<pieces { try await quick.send(bytes: piece) }
            #expect(try await echoed == pieces << 16)
            #expect(fromClient.withLockedValue { $0 } < pieces)
            try await deaf.listen()
            try await sending.value
            await quick.close()
            await slow.close()
        }
    }

    @Test func `a tunnel in which nothing moves ends`() async throws {
        let origin = try await RawOrigin { _ in (Self.yes, .echoes) }
        try await withGateway(before: origin, { $0.idleTimeout = .milliseconds(200) }) { gateway, port in
            let client = try await Self.open(port)
            #expect(await client.rest().isEmpty)
            try await eventually { gateway.metrics.openTunnels == 0 && origin.ended > 0 }
            await client.close()
        }
    }

    @Test func `tunnels have places of their own`() {
        let places = OriginPlaces(.init(passes: 1, tunnels: 2, tunnelsOfClient: 1))
        let client = ClientAddress(try? .init(ipAddress: "10.0.0.1", port: 1))
        #expect(places.enter(.tunnel(client: client), retry: {}) == .entered)
        #expect(places.enter(.tunnel(client: client), retry: {}) == .refused)
        #expect(places.enter(.tunnel(client: nil), retry: {}) == .entered)
        #expect(places.enter(.tunnel(client: nil), retry: {}) == .refused)
        #expect(places.enter(.pass(client: client), retry: {}) == .entered)
        places.leave(.tunnel(client: client))
        #expect(places.tunnels == 1)
        #expect(places.enter(.tunnel(client: client), retry: {}) == .entered)
    }

    @Test func `an origin that speaks HTTP 2 is asked in HTTP 1_1`() async throws {
        let certificates = try await Certificates()
        let certificate = try ServerCertificate(
            certificateFile: certificates.path("server.crt"), keyFile: certificates.path("server.key"))
        let origin = try await RawOrigin(secure: certificate.context) { _ in (Self.yes, .echoes) }
        let authorities = try TrustedAuthorities(file: certificates.path("server.crt"))
        try await withGateway(before: origin, scheme: "https", { $0.routes[0].origin.authorities = authorities }) {
            _, port in
            let client = try await Self.open(port)
            try await client.send("hello")
            #expect(try await client.take { $0.count >= 5 ? 5 : nil } == Array("hello".utf8))
            await client.close()
        }
    }

    // MARK: -

    /// A client whose wish the origin has met.
    private static func open(_ port: Int, _ fields: String = "") async throws -> TestClient {
        let client = try await TestClient(port: port)
        try await client.send(wish.dropLast() + fields + "\r\n")
        let answer = try await client.response()
        #expect(answer.status == 101)
        #expect(answer.field("Upgrade") == "websocket" && answer.field("Connection") == "upgrade")
        #expect(answer.field("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        #expect(answer.cacheStatus.hasPrefix("perennial; fwd=bypass; fwd-status=101; detail="))
        return client
    }

    private func withGateway(
        before origin: RawOrigin, scheme: String = "http",
        _ configure: (inout GatewayConfiguration) throws -> Void = { _ in }, test: (Gateway, Int) async throws -> Void
    ) async throws {
        var configuration = GatewayConfiguration(origin: try OriginURL("\(scheme)://localhost:\(origin.port)"))
        configuration.port = 0
        configuration.threads = 2
        try configure(&configuration)
        let gateway = try Gateway(configuration: configuration)
        let port = try await gateway.start().port
        do {
            try await test(gateway, port)
        } catch {
            await gateway.shutdown(deadline: .seconds(1))
            try await origin.stop()
            throw error
        }
        await gateway.shutdown(deadline: .seconds(1))
        try await origin.stop()
    }
}
