import NIOConcurrencyHelpers
import NIOHPACK
import NIOHTTP2
import Perennial
import PerennialHTTP
import Testing

@testable import PerennialGateway

/// Origins that speak HTTP/2 behind TLS.
@Suite struct HTTP2OriginTests {
    @Test func `responses, trailers and hints come as over HTTP 1_1`() async throws {
        try await withHTTP2Origin({ request in
            [
                .head(103, [("link", "</style.css>")]),
                .head(200, [("cache-control", "no-store"), ("x-n", "\(request.number)")]),
                .body("abc", isLast: false), .body("def", isLast: false),
                .headers(.init(headers: HPACKHeaders([("x-trailer", "t")]), endStream: true)),
            ]
        }) { origin, client, _ in
            for number in 1...3 {
                try await client.send("GET", "/page?\(number)")
                #expect(try await client.response().status == 103)
                let response = try await client.response()
                #expect(response.body == "abcdef" && response.field("X-N") == "\(number)")
            }
            #expect(origin.requests.map { $0.fields.first(name: ":path") } == ["/page?1", "/page?2", "/page?3"])
            #expect(origin.requests.allSatisfy { $0.connection == 1 && $0.fields.first(name: ":scheme") == "https" })
        }
    }

    @Test func `the host that is sent is the authority`() async throws {
        try await withHTTP2Origin(
            sentHost: .client, { request in [.head(200), .body(request.fields.first(name: ":authority") ?? "-")] }
        ) { _, client, _ in
            let answer = try await client.get("/", ["Host": "A.example"])
            #expect(answer.body == "a.example")
        }
    }

    @Test func `data behind a status without a body are nobody's answer`() async throws {
        try await withHTTP2Origin({ _ in
            [.head(204, [("cache-control", "max-age=60")]), .body("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")]
        }) { _, client, _ in
            for _ in 0..<3 {
                let response = try await client.get("/")
                #expect(response.status == 204 && response.body.isEmpty)
            }
        }
    }

    @Test func `a connection that has fallen silent is given up, and a new one is made`() async throws {
        try await withHTTP2Origin(
            timeout: .seconds(8),
            { request in
                if request.connection == 1, request.number == 2 { return [.silence] }
                return [.head(200, [("cache-control", "no-store")]), .body("from \(request.connection)")]
            }
        ) { origin, client, _ in
            var bodies: [String] = []
            for number in 1...3 { bodies.append(try await client.get("/\(number)").body) }
            // The request that meets the silence is sent again on another connection.
            #expect(bodies == ["from 1", "from 2", "from 2"])
            #expect(origin.requests.count == 4)
        }
    }

    @Test func `a stream that the origin resets is an error of one request`() async throws {
        try await withHTTP2Origin({ request in
            request.number == 1
                ? [
                    .head(200, [("cache-control", "max-age=60")]), .body("half", isLast: false),
                    .rstStream(.internalError),
                ]
                : [.head(200, [("cache-control", "max-age=60")]), .body("whole")]
        }) { _, client, _ in
            let broken = try await client.get("/")
            #expect(broken.status == 502)
            #expect(broken.cacheStatus.hasSuffix("detail=http_response_incomplete"))
            #expect(try await client.get("/").body == "whole")
        }
    }

    @Test func `a certificate from elsewhere is said to be the reason`() async throws {
        try await withHTTP2Origin(trusts: false, { _ in [.head(200, isLast: true)] }) { _, client, gateway in
            let refused = try await client.get("/")
            #expect(refused.status == 502)
            #expect(refused.cacheStatus.hasSuffix("detail=tls_certificate_error"))
            #expect(gateway.responses.routing.now.origins[0].client.report.trouble?.contains("not trusted") == true)
        }
    }

    @Test func `TLS spoken to a plain port is said to be the reason`() async throws {
        try await withRig(
            { configuration in
                let plain = configuration.routes[0].origin.url
                configuration.routes[0].origin = Origin(try OriginURL("https://127.0.0.1:\(plain.port)"))
                configuration.routes[0].origin.timeout = .seconds(2)
            },
            origin: { _ in .raw("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", closes: true) }
        ) { rig in
            let refused = try await rig.get("/")
            #expect(refused.status == 502)
            #expect(refused.cacheStatus.hasSuffix("detail=tls_protocol_error"))
        }
    }
}

private func withHTTP2Origin(
    timeout: Duration = .seconds(30), trusts: Bool = true, sentHost: SentHost = .origin,
    _ handler: @escaping HTTP2Origin.Handler,
    test: (HTTP2Origin, TestClient, Gateway) async throws -> Void
) async throws {
    let certificates = try await Certificates()
    let origin = try await HTTP2Origin(certificates, handler)
    var address = Origin(try OriginURL("https://localhost:\(origin.port)"))
    address.timeout = timeout
    if trusts { address.authorities = try TrustedAuthorities(file: certificates.path("server.crt")) }
    var configuration = GatewayConfiguration(routes: [Route(origin: address)])
    configuration.routes[0].address.sentHost = sentHost
    configuration.port = 0
    configuration.threads = 1
    let gateway = try Gateway(configuration: configuration)
    let client = try await TestClient(port: try await gateway.start().port)
    do {
        try await test(origin, client, gateway)
    } catch {
        await gateway.shutdown(deadline: .seconds(1))
        throw error
    }
    await client.close()
    await gateway.shutdown(deadline: .seconds(1))
    try await origin.stop()
}
