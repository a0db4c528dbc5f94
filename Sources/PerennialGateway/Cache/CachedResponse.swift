internal import NIOCore
public import Perennial
public import PerennialHTTP

/// A stored response with its bytes prepared: the value of the gateway's cache.
///
/// An answer from the cache is its head, the fields that change with time, an empty line, and its body. All of it lies in one piece of
/// memory, but for a large body; the fields are read from there again by the few who want to know them.
public final class CachedResponse: Sendable {
    /// Bodies up to this size are copied behind their heads, so that an answer is one write; larger ones are written as they are.
    static let smallBody = 16 << 10

    public let status: Int
    /// The size of the body in bytes.
    public let bodySize: Int
    /// The names in `Vary`: lower case, sorted.
    public let vary: [String]

    /// The description as it is stored, the head of an answer, the line of `Date`, and the body if it is small.
    private let bytes: [UInt8]
    private let headStart: Int32
    private let dateStart: Int32
    private let bodyStart: Int32
    private let largeBody: ByteBuffer?

    public convenience init(_ response: StoredResponse) {
        self.init(
            description: response.encodeDescription()[...], status: response.status, vary: response.vary,
            body: response.body[...])
    }

    /// - Parameter stored: as ``encoded()`` gives it.
    /// - Throws: ``PerennialHTTP/DamagedResponse`` for anything else.
    convenience init(decoding stored: [UInt8]) throws(DamagedResponse) {
        let layout = try StoredLayout(of: stored)
        let description = stored[layout.description]
        let vary = layout.hasVary ? try StoredResponse(description: description).vary : []
        self.init(description: description, status: layout.status, vary: vary, body: stored[layout.body])
    }

    private init(description: ArraySlice<UInt8>, status: Int, vary: [String], body: ArraySlice<UInt8>) {
        self.status = status
        self.vary = vary
        bodySize = body.count
        let isSmall = body.count <= Self.smallBody
        largeBody = isSmall ? nil : ByteBuffer(bytes: body)

        var prepared = ByteBuffer()
        prepared.reserveCapacity(description.count + 256)
        prepared.writeHead(status: status, description: description.span, bodySize: body.count)
        headStart = Int32(description.count)
        dateStart = headStart + Int32(prepared.readableBytes)
        prepared.writeDateLine(description: description.span)
        bodyStart = headStart + Int32(prepared.readableBytes)

        var bytes: [UInt8] = []
        bytes.reserveCapacity(description.count + prepared.readableBytes + (isSmall ? body.count : 0))
        bytes += description
        prepared.withUnsafeReadableBytes { bytes.append(contentsOf: $0) }
        if isSmall { bytes += body }
        self.bytes = bytes
    }

    /// In bytes, itself and what belongs to it alone.
    var memorySize: Int { bytes.count + (largeBody?.capacity ?? 0) + vary.reduce(0) { $0 + $1.utf8.count + 32 } + 160 }

    // MARK: - What an answer is made of

    /// Status line and field lines, `Via` and `Content-Length` included, `Date` not.
    var head: ByteBuffer { ByteBuffer(bytes: bytes[Int(headStart)..<Int(dateStart)]) }

    var body: ByteBuffer { largeBody ?? ByteBuffer(bytes: bytes[Int(bodyStart)...]) }

    func writeHead(to out: inout ByteBuffer) {
        out.writeBytes(bytes[Int(headStart)..<Int(dateStart)])
    }

    /// Writes the line of `Date` as the origin sent it.
    func writeDateLine(to out: inout ByteBuffer) {
        out.writeBytes(bytes[Int(dateStart)..<Int(bodyStart)])
    }

    /// Writes the body, unless it is large.
    /// - Returns: a body that is.
    func writeSmallBody(to out: inout ByteBuffer) -> ByteBuffer? {
        if largeBody == nil { out.writeBytes(bytes[Int(bodyStart)...]) }
        return largeBody
    }

    // MARK: - What is known of it

    /// Status, fields and what the response was chosen by; its `body` is empty here.
    private var description: StoredResponse {
        // It was made of a response, or looked at when it was read.
        (try? StoredResponse(description: bytes[..<Int(headStart)]))
            ?? StoredResponse(status: status, fields: [:], body: [])
    }

    public var fields: HeaderFields { description.fields }
    /// What a refresh must send.
    public var requestFields: HeaderFields { description.requestFields }

    /// The response as it is stored.
    public var stored: StoredResponse {
        var response = description
        response.body = Array(body.readableBytesView)
        return response
    }

    /// The stored form.
    func encoded() -> [UInt8] {
        let description = bytes[..<Int(headStart)]
        guard let largeBody else {
            return StoredResponse.encode(description: description, body: bytes[Int(bodyStart)...])
        }
        return StoredResponse.encode(description: description, body: largeBody.readableBytesView)
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
    ///
    /// Parts of what is stored whole can be had here, whether or not the origin knows parts (RFC 9110 §14.3).
    var servedFields: HeaderFields {
        var fields = fields
        if status == 200 && !fields.contains("Accept-Ranges") { fields.add("Accept-Ranges", "bytes") }
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
            format: StoredResponse.format, encode: { $0.encoded() }, decode: { try CachedResponse(decoding: $0) },
            memorySize: \.memorySize)
    }
}

extension ByteBuffer {
    /// Writes the head of an answer with all of a response: as `CachedResponse.head(status:fields:bodySize:)` does with
    /// `CachedResponse.servedFields`, without making texts of what are bytes.
    /// - Parameter description: as `StoredResponse.encodeDescription()` gives it.
    fileprivate mutating func writeHead(status: Int, description: Span<UInt8>, bodySize: Int) {
        writeStatusLine(status)
        var hasRanges = false
        try? StoredLayout.forEachField(of: description) { bytes, name, value in
            if bytes.holds("accept-ranges", at: name, ignoringCase: true) { hasRanges = true }
            guard !bytes.holds("content-length", at: name, ignoringCase: true),
                !bytes.holds("date", at: name, ignoringCase: true), !bytes.isForThisCache(at: name),
                bytes.isOneLine(name), bytes.isOneLine(value)
            else { return }
            writeBytes(of: bytes, at: name)
            writeStaticString(": ")
            writeBytes(of: bytes, at: value)
            writeLineEnd()
        }
        if status == 200 && !hasRanges { writeStaticString("Accept-Ranges: bytes\r\n") }
        writeVia()
        if statusHasBody(status) { writeField("Content-Length", String(bodySize)) }
    }

    /// Writes the line of `Date` as the origin sent it.
    fileprivate mutating func writeDateLine(description: Span<UInt8>) {
        writeStaticString("Date: ")
        var isWritten = false
        try? StoredLayout.forEachField(of: description) { bytes, name, value in
            guard !isWritten, bytes.holds("date", at: name, ignoringCase: true), bytes.isOneLine(value) else { return }
            writeBytes(of: bytes, at: value)
            isWritten = true
        }
        writeLineEnd()
    }

    private mutating func writeBytes(of bytes: Span<UInt8>, at range: Range<Int>) {
        bytes.extracting(range).withUnsafeBytes { _ = writeBytes($0) }
    }
}

extension Span<UInt8> {
    fileprivate func isOneLine(_ range: Range<Int>) -> Bool {
        for index in range
        where self[index] == UInt8(ascii: "\r") || self[index] == UInt8(ascii: "\n") || self[index] == 0 {
            return false
        }
        return true
    }
}

/// Whether a response with this status can have a body (RFC 9110 §6.4.1).
func statusHasBody(_ status: Int) -> Bool {
    status >= 200 && status != 204 && status != 304
}
