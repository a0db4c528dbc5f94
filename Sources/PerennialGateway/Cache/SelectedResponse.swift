internal import NIOCore
internal import NIOHTTP1
internal import PerennialHTTP

/// What one request gets of a stored response: all of it, a part, or the news that it has it already. Both ways to
/// answer from the cache, on the event loop and in a task, write this.
struct SelectedResponse {
    var status: Int
    /// Status line and field lines, without the fields that change with time.
    var head: ByteBuffer
    /// Empty for HEAD.
    var body: ByteBuffer
}

extension CachedResponse {
    /// What a request with these fields gets, in the order of RFC 9110 §13.2.2: first whether the client has it
    /// already, then which part of it is wanted.
    func selected(by request: HeaderFields, method: HTTPMethod) -> SelectedResponse {
        if clientHasCurrent(requestFields: request, storedFields: fields, status: status) {
            return SelectedResponse(status: 304, head: notModifiedHead(), body: ByteBuffer())
        }
        guard method == .GET else { return SelectedResponse(status: status, head: head, body: ByteBuffer()) }
        let selection = rangeSelection(
            requestFields: request, storedFields: fields, status: status, size: bodySize)
        switch selection {
        case .whole: return SelectedResponse(status: status, head: head, body: body)
        case .part(let part): return self.part(part)
        case .parts(let parts): return self.parts(parts)
        case .unsatisfiable:
            let head = Self.head(status: 416, fields: unsatisfiableFields(size: bodySize), bodySize: 0)
            return SelectedResponse(status: 416, head: head, body: ByteBuffer())
        }
    }

    private func part(_ part: Range<Int>) -> SelectedResponse {
        var fields = partialFields(of: servedFields, boundary: nil)
        fields.add("Content-Range", contentRange(part, size: bodySize))
        return SelectedResponse(
            status: 206, head: Self.head(status: 206, fields: fields, bodySize: part.count), body: slice(part))
    }

    private func parts(_ parts: [Range<Int>]) -> SelectedResponse {
        // Not to be foreseen by who wrote the body, which could otherwise end a part by itself.
        let boundary =
            String(UInt64.random(in: .min ... .max), radix: 36) + String(UInt64.random(in: .min ... .max), radix: 36)
        let delimiters = PartDelimiters(
            parts, size: bodySize, contentType: fields.first("Content-Type"), boundary: boundary)
        var bytes = ByteBuffer()
        for (head, part) in zip(delimiters.heads, parts) {
            bytes.writeFieldText(head)
            bytes.writeImmutableBuffer(slice(part))
        }
        bytes.writeString(delimiters.end)
        let fields = partialFields(of: servedFields, boundary: boundary)
        return SelectedResponse(
            status: 206, head: Self.head(status: 206, fields: fields, bodySize: bytes.readableBytes), body: bytes)
    }

    private func slice(_ part: Range<Int>) -> ByteBuffer {
        body.getSlice(at: body.readerIndex + part.lowerBound, length: part.count) ?? ByteBuffer()
    }
}
