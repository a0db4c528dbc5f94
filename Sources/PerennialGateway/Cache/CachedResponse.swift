internal import NIOCore
public import Perennial
public import PerennialHTTP

/// A stored response with its bytes prepared: the value of the gateway's cache.
///
/// An answer from the cache is its head, the fields that change with time, an empty line, and its body. What a response
/// shares with others is in their ``ResponseForm``; what it has of its own lies in one piece of memory, but for a large
/// body.
///
/// `@unchecked`: never changed once it is made.
public struct CachedResponse: @unchecked Sendable {
    /// Bodies up to this size are kept beside the rest, so that an answer is one write; larger ones are written as they
    /// are.
    static let smallBody = 16 << 10

    private struct Header {
        /// Not counted when it is read: see there.
        let form: Unmanaged<ResponseForm>
        /// In bytes: the response's own values.
        let ownSize: Int32
        /// In bytes, of what comes behind them: the body; -1: a reference to a ``LargeBody``.
        let smallBodySize: Int16
        /// Whether the form was made for it, and so counts as its own.
        let isFirst: Bool
    }

    private final class LargeBody {
        let bytes: ByteBuffer

        init(_ bytes: ByteBuffer) {
            self.bytes = bytes
        }
    }

    private final class Storage: ManagedBuffer<Header, UInt8> {
        @inline(__always)
        var large: Unmanaged<LargeBody>? {
            withUnsafeMutablePointers { header, bytes in
                guard header.pointee.smallBodySize < 0 else { return nil }
                return UnsafeRawPointer(bytes + Int(header.pointee.ownSize)).loadUnaligned(
                    as: Unmanaged<LargeBody>.self)
            }
        }

        deinit {
            large?.release()
            withUnsafeMutablePointerToHeader { $0.pointee.form.release() }
        }
    }

    private let storage: Storage

    public init(_ response: StoredResponse) {
        self.init(response, body: ByteBuffer(bytes: response.body))
    }

    /// - Parameters:
    ///   - response: all but its body.
    ///   - body: is kept as it is, if it is large.
    init(_ response: StoredResponse, body: ByteBuffer) {
        do {
            try self.init(description: response.encodeDescription()[...], body: body)
        } catch {
            preconditionFailure("a description that was just written can't be read: \(error)")
        }
    }

    /// - Parameter stored: as ``encoded()`` gives it.
    /// - Throws: ``PerennialHTTP/DamagedResponse`` for anything else.
    init(decoding stored: [UInt8]) throws(DamagedResponse) {
        let layout = try StoredLayout(of: stored)
        try self.init(description: stored[layout.description], body: ByteBuffer(bytes: stored[layout.body]))
    }

    private init(description: ArraySlice<UInt8>, body: ByteBuffer) throws(DamagedResponse) {
        let (form, own, isNew) = try ResponseForms.form(for: description, bodySize: body.readableBytes)
        // Written behind a head that says there is none, a body would be read as another response.
        let body = statusHasBody(form.status) ? body : ByteBuffer()
        let isSmall = body.readableBytes <= Self.smallBody
        let header = Header(
            form: .passRetained(form), ownSize: Int32(own.count),
            smallBodySize: isSmall ? Int16(body.readableBytes) : -1, isFirst: isNew)
        let size = own.count + (isSmall ? body.readableBytes : MemoryLayout<Unmanaged<LargeBody>>.size)
        let buffer = Storage.create(minimumCapacity: size) { _ in header }
        buffer.withUnsafeMutablePointerToElements { bytes in
            let place = UnsafeMutableRawBufferPointer(start: bytes, count: size)
            place.copyBytes(from: own)
            let rest = UnsafeMutableRawBufferPointer(rebasing: place[own.count...])
            if isSmall {
                rest.copyBytes(from: body.readableBytesView)
            } else {
                rest.storeBytes(of: Unmanaged.passRetained(LargeBody(body)), as: Unmanaged<LargeBody>.self)
            }
        }
        storage = unsafeDowncast(buffer, to: Storage.self)
    }

    /// In bytes, of what belongs to it alone, and of the form if it was the first to have it.
    var memorySize: Int {
        let (own, isFirst) = storage.withUnsafeMutablePointerToHeader { ($0.pointee.ownSize, $0.pointee.isFirst) }
        let form = isFirst ? withForm { form, _ in form.size } : 0
        return MemoryLayout<Header>.size + 32 + Int(own) + (largeBody?.capacity ?? bodySize) + form
    }

    /// Whether it is the very same, not one like it.
    func isIdentical(to other: CachedResponse) -> Bool { storage === other.storage }

    // MARK: - What an answer is made of

    @inline(__always)
    private func withForm<Result>(_ body: (ResponseForm, _ own: UnsafeBufferPointer<UInt8>) -> Result) -> Result {
        storage.withUnsafeMutablePointers { header, bytes in
            header.pointee.form._withUnsafeGuaranteedRef { form in
                body(form, UnsafeBufferPointer(start: bytes, count: Int(header.pointee.ownSize)))
            }
        }
    }

    private func withSmallBody<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        storage.withUnsafeMutablePointers { header, bytes in
            body(
                UnsafeRawBufferPointer(
                    start: bytes + Int(header.pointee.ownSize), count: max(0, Int(header.pointee.smallBodySize))))
        }
    }

    private var largeBody: ByteBuffer? { storage.large?._withUnsafeGuaranteedRef(\.bytes) }

    /// Status line and field lines, `Via` and `Content-Length` included, `Date` not.
    var head: ByteBuffer {
        var head = ByteBuffer()
        writeHead(to: &head)
        return head
    }

    var body: ByteBuffer { largeBody ?? withSmallBody { ByteBuffer(bytes: $0) } }

    func writeHead(to out: inout ByteBuffer) {
        withForm { form, own in form.writeHead(with: own, to: &out) }
    }

    /// Writes the line of `Date` as the origin sent it.
    func writeDateLine(to out: inout ByteBuffer) {
        withForm { form, own in form.writeDateLine(with: own, to: &out) }
    }

    /// Writes the body, unless it is large.
    /// - Returns: a body that is.
    func writeSmallBody(to out: inout ByteBuffer) -> ByteBuffer? {
        if let largeBody { return largeBody }
        withSmallBody { _ = out.writeBytes($0) }
        return nil
    }

    // MARK: - What is known of it

    public var status: Int { withForm { form, _ in form.status } }

    /// The size of the body in bytes.
    public var bodySize: Int { largeBody?.readableBytes ?? withSmallBody(\.count) }

    /// Whether it was chosen by fields of the request.
    var hasVary: Bool { withForm { form, _ in form.hasVary } }

    /// The names in `Vary`: lower case, sorted.
    public var vary: [String] { withForm { form, _ in form.vary } }

    var validator: Validator? {
        let (etag, lastModified) = withForm { form, own in form.validators(with: own) }
        return etag == nil && lastModified == nil ? nil : Validator(etag: etag, lastModified: lastModified)
    }

    private var encodedDescription: [UInt8] { withForm { form, own in form.description(with: own) } }

    /// Status, fields and what the response was chosen by; its `body` is empty here.
    private var description: StoredResponse {
        // It was made of a response, or looked at when it was read.
        (try? StoredResponse(description: encodedDescription[...]))
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
        StoredResponse.encode(description: encodedDescription[...], body: body.readableBytesView)
    }

    /// Whether the response was made for requests like this (RFC 9111 §4.1).
    func isSelected(by request: @autoclosure () -> HeaderFields) -> Bool {
        !hasVary || description.isSelected(by: request())
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
            memorySize: \.memorySize, validator: \.validator)
    }
}

/// Whether a response with this status can have a body (RFC 9110 §6.4.1).
func statusHasBody(_ status: Int) -> Bool {
    status >= 200 && status != 204 && status != 304
}
