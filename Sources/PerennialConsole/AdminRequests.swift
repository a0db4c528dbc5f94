import HTTPTypes
import Hummingbird
import NIOCore
import Perennial

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

// How the admin API reads requests and writes answers.

func query(_ name: String, _ request: Request) -> String? {
    request.uri.queryParameters[Substring(name)].map(String.init).flatMap { $0.isEmpty ? nil : $0 }
}

/// How many items a page has: 100, or what the request says, up to 1000.
func limit(_ request: Request) throws -> Int {
    guard let text = query("limit", request) else { return 100 }
    guard let limit = Int(text), (1...1000).contains(limit) else {
        throw AdministrationError(.invalid, "limit is “\(text)”; it must be from 1 to 1000")
    }
    return limit
}

func jobState(_ request: Request) throws -> JobState? {
    try query("state", request).map { text in
        guard let state = JobState(rawValue: text) else {
            let known = JobState.allCases.map(\.rawValue).joined(separator: ", ")
            throw AdministrationError(.invalid, "state is “\(text)”; it must be one of \(known)")
        }
        return state
    }
}

func target(_ request: Request) async throws -> AdministrationTarget {
    try await decode(PurgeRequest.self, request).target()
}

/// The body of a request to mark entries stale or remove them: one of its members.
public struct PurgeRequest: Codable, Sendable {
    private var url: String?
    private var tag: String?
    private var prefix: String?
    private var match: String?
    private var all: Bool?

    public init(_ target: AdministrationTarget) {
        switch target {
        case .url(let url): self.url = url
        case .tag(let tag): self.tag = tag
        case .prefix(let prefix): self.prefix = prefix
        case .match(let pattern): match = pattern
        case .all: all = true
        }
    }

    func target() throws(AdministrationError) -> AdministrationTarget {
        let targets = AdministrationTarget.named(
            url: url, tag: tag, prefix: prefix, match: match, all: all == true)
        guard targets.count == 1 else {
            throw AdministrationError(
                .invalid,
                #"say which entries: {"url": "…"}, {"tag": "…"}, {"prefix": "…"}, {"match": "…"} or {"all": true}"#)
        }
        return targets[0]
    }
}

/// The id of the job to replay; `nil`: all.
func replayed(_ request: Request) async throws -> JobID? {
    struct Body: Decodable {
        var id: String?
        var all: Bool?
    }
    let body = try await decode(Body.self, request)
    switch (body.id, body.all) {
    case (let id?, nil): return id
    case (nil, true): return nil
    default: throw AdministrationError(.invalid, #"say which jobs: {"id": "…"} or {"all": true}"#)
    }
}

/// What to ask again: an origin, an address at one, or `nil`: everything.
func reopened(_ request: Request) async throws -> String? {
    struct Body: Decodable {
        var origin: String?
        var address: String?
    }
    let body = try await decode(Body.self, request)
    guard body.origin == nil || body.address == nil else {
        throw AdministrationError(.invalid, #"name an origin or an address, not both: {"origin": "…"}"#)
    }
    return body.origin ?? body.address
}

/// Reads a JSON body. Asking for the content type keeps web forms out, which a browser sends anywhere unasked.
private func decode<Body: Decodable>(_ type: Body.Type, _ request: Request) async throws -> Body {
    let contentType = request.headers[.contentType]?.prefix { $0 != ";" }.lowercased()
    guard contentType == "application/json" else {
        throw HTTPError(.unsupportedMediaType, message: "send Content-Type: application/json")
    }
    let bytes = try await request.body.collect(upTo: 64 << 10)
    do {
        return try JSONDecoder().decode(type, from: Data(bytes.readableBytesView))
    } catch {
        throw AdministrationError(.invalid, "the body is not the JSON object expected here")
    }
}

func json(_ value: some Encodable, status: HTTPResponse.Status = .ok) throws -> Response {
    Response(
        status: status, headers: [.contentType: "application/json; charset=utf-8", .cacheControl: "no-store"],
        body: .init(byteBuffer: ByteBuffer(bytes: try JSONText.data(value) + [0x0A])))
}

/// JSON as this project writes it: keys in a fixed order, slashes as they are.
public enum JSONText {
    public static func data(_ value: some Encodable, pretty: Bool = false) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        if pretty { encoder.outputFormatting.insert(.prettyPrinted) }
        return [UInt8](try encoder.encode(value))
    }
}
