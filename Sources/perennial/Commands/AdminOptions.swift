import ArgumentParser
import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import PerennialConsole
import PerennialGateway

/// What a command takes that speaks with a running gateway, through its admin address.
struct AdminOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The gateway's admin address: what --admin of serve is (default: 127.0.0.1:8081)",
            valueName: "http://HOST:PORT"))
    var admin: String?
    @Option(
        help: ArgumentHelp("The token that the gateway wants to see: the one line of this file.", valueName: "FILE"))
    var adminTokenFile: String?
    @Option(help: Known.config.argumentHelp) var config: String?
    @Flag(help: "Print JSON.") var json = false

    /// The gateway's API, as these options, the environment and the file name it.
    func gateway() throws(Failure) -> AdminClient {
        try AdminClient(admin, tokenFile: adminTokenFile, settings: Settings(config: config))
    }
}

extension ListenAddress {
    /// Where a client finds what listens on all addresses.
    fileprivate var reachable: ListenAddress {
        switch host {
        case "0.0.0.0": ListenAddress(host: "127.0.0.1", port: port)
        case "::": ListenAddress(host: "::1", port: port)
        default: self
        }
    }
}

/// Asks a running gateway's admin API.
struct AdminClient {
    let address: ListenAddress
    let token: String?

    /// - Parameters:
    ///   - admin: the gateway's admin address; `nil`: the environment, the file or the default says it.
    ///   - tokenFile: likewise.
    init(_ admin: String?, tokenFile: String?, settings: Settings) throws(Failure) {
        let given = admin.map {
            $0.hasPrefix("http://") ? String($0.dropFirst("http://".count).prefix { $0 != "/" }) : $0
        }
        let found = try settings.require(Known.admin, given)
        guard let address = found.value, address.port != 0 else {
            throw Failure(
                found.place.code,
                "\(found.name) names no address; give the running gateway's, like http://127.0.0.1:8081")
        }
        self.address = address.reachable
        token = try settings.find(Known.adminToken, tokenFile)?.value
    }

    /// - Parameters:
    ///   - body: sent as JSON by POST; `nil`: a GET.
    ///   - timeout: how long the answer may take.
    func ask<Answer: Decodable>(
        _ path: String, _ body: (any Encodable)? = nil, timeout: Duration = .seconds(10), as type: Answer.Type
    ) async throws -> Answer {
        var request = HTTPClientRequest(url: "http://\(address)\(path)")
        if let token { request.headers.add(name: "Authorization", value: "Bearer \(token)") }
        if let body {
            request.method = .POST
            request.headers.add(name: "Content-Type", value: "application/json")
            request.body = .bytes(ByteBuffer(bytes: try JSONText.data(body)))
        }
        let (status, bytes) = try await answer(to: request, timeout)
        guard status == .ok else { throw refusal(status, bytes) }
        do {
            return try JSONDecoder().decode(type, from: Data(bytes))
        } catch {
            throw Failure(.data, "what answers at http://\(address) is no gateway of this version: see --admin")
        }
    }

    private func answer(
        to request: HTTPClientRequest, _ timeout: Duration
    ) async throws(Failure) -> (HTTPResponseStatus, [UInt8]) {
        let client = HTTPClient(eventLoopGroupProvider: .singleton)
        let answer: Result<(HTTPResponseStatus, [UInt8]), any Error>
        do {
            let response = try await client.execute(request, timeout: TimeAmount(timeout))
            let body = try await response.body.collect(upTo: 8 << 20)
            answer = .success((response.status, Array(body.readableBytesView)))
        } catch {
            answer = .failure(error)
        }
        try? await client.shutdown()
        do {
            return try answer.get()
        } catch {
            throw Failure(
                .unavailable,
                "no gateway answers at http://\(address); start it, or give its admin address with --admin (\(error))")
        }
    }

    private func refusal(_ status: HTTPResponseStatus, _ body: [UInt8]) -> Failure {
        let error = (try? JSONDecoder().decode([String: String].self, from: Data(body)))?["error"]
        let reason = error.map(printable) ?? "it answered \(status.code)"
        return switch status {
        case .unauthorized:
            Failure(.noPermission, "the gateway at http://\(address) wants its token; give --admin-token-file FILE")
        case .forbidden: Failure(.noPermission, reason)
        case .notFound: Failure(.noInput, reason)
        case .badRequest: Failure(.usage, reason)
        default: Failure(.unavailable, "the gateway at http://\(address) can't do that: \(reason)")
        }
    }
}
