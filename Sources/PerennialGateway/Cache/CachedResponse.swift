internal import NIOCore
public import Perennial
public import PerennialHTTP

/// A stored response with its bytes prepared: the value of the gateway's cache.
///
/// An answer from the cache is `head`, the fields that change with time, an empty line, and `body`.
public final class CachedResponse: Sendable {
    /// Status, fields and what the response was chosen by; its `body` is empty here.
    private let description: StoredResponse
    /// Status line and field lines, `Via` and `Content-Length` included, `Date` not.
    let head: ByteBuffer
    /// The field line of `Date` as the origin sent it.
    let dateLine: ByteBuffer
    let body: ByteBuffer

    public init(_ response: StoredResponse) {
        body = ByteBuffer(bytes: response.body)
        var description = response
        description.body = []
        self.description = description
        let fields = Self.servedFields(response)
        head = Self.head(status: response.status, fields: fields, bodySize: response.body.count)
        var line = ByteBuffer()
        line.writeField("Date", response.fields.first("Date") ?? "")
        dateLine = line
    }

    public var status: Int { description.status }
    public var fields: HeaderFields { description.fields }
    /// What a refresh must send.
    public var requestFields: HeaderFields { description.requestFields }
    /// The names in `Vary`: lower case, sorted.
    public var vary: [String] { description.vary }
    /// The size of the body in bytes.
    public var bodySize: Int { body.readableBytes }

    /// The response as it is stored.
    public var stored: StoredResponse {
        var response = description
        response.body = Array(body.readableBytesView)
        return response
    }

    /// Whether the response was made for requests like this (RFC 9111 §4.1).
    func isSelected(by request: @autoclosure () -> HeaderFields) -> Bool {
        vary.isEmpty || description.isSelected(by: request())
    }

    /// The same body with other fields: the origin confirmed it.
    /// - Parameter requestFields: of the request that the origin answered so.
    func updated(fields: HeaderFields, requestFields: HeaderFields) -> CachedResponse {
        var response = stored
        response.fields = fields
        response.requestFields = requestFields
        response.vary = Vary(fields).names
        return CachedResponse(response)
    }

    /// The head of a 304 for a client that has this response already.
    func notModifiedHead() -> ByteBuffer {
        Self.head(status: 304, fields: notModifiedFields(of: fields), bodySize: nil)
    }

    /// The fields of an answer with all of it.
    var servedFields: HeaderFields { Self.servedFields(description) }

    /// Parts of what is stored whole can be had here, whether or not the origin knows parts (RFC 9110 §14.3).
    private static func servedFields(_ response: StoredResponse) -> HeaderFields {
        var fields = response.fields
        if response.status == 200 && !fields.contains("Accept-Ranges") { fields.add("Accept-Ranges", "bytes") }
        return fields
    }

    static func head(status: Int, fields: HeaderFields, bodySize: Int?) -> ByteBuffer {
        var head = ByteBuffer()
        head.writeStatusLine(status)
        head.writeFields(fieldsForClients(of: fields).removing(["content-length", "date"]))
        head.writeVia()
        if let bodySize, statusHasBody(status) { head.writeField("Content-Length", String(bodySize)) }
        return head
    }
}

extension Codec<CachedResponse> {
    /// The stored form of responses; damaged bytes are an error, never a wrong response.
    public static var cachedResponse: Codec {
        Codec(
            format: StoredResponse.format,
            encode: { $0.stored.encode() },
            decode: { CachedResponse(try StoredResponse(decoding: $0)) })
    }
}

/// Whether a response with this status can have a body (RFC 9110 §6.4.1).
func statusHasBody(_ status: Int) -> Bool {
    status >= 200 && status != 204 && status != 304
}
