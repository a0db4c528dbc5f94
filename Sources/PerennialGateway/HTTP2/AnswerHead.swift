internal import NIOCore
internal import NIOHPACK
internal import PerennialHTTP

/// The head of an answer, read back from the lines that HTTP/1.1 has for it.
///
/// They are the gateway's own, so they are known to be well-formed: `HTTP/1.1 200 OK`, then `Name: value`, each with CR
/// LF. HTTP/2's library has values as text. One that is not UTF-8 is taken for Latin-1 as far as it isn't, and sent in
/// UTF-8.
struct AnswerHead {
    private(set) var status = 0
    private(set) var fields = HPACKHeaders()
    /// `Content-Length`, if there is one.
    private(set) var length: Int?

    /// Another head follows.
    var isInterim: Bool { status < 200 }

    /// Takes a head off the front of `bytes`; `nil`: there is no whole one.
    init?(readingFrom bytes: inout ByteBuffer) {
        let read = bytes.readWithUnsafeReadableBytes { bytes -> (Int, Bool) in
            var start = 0
            while let end = bytes.endOfLine(from: start) {
                let line = UnsafeRawBufferPointer(rebasing: bytes[start..<end])
                start = end + 2
                if line.isEmpty { return (start, status != 0) }
                if status == 0 { readStatus(line) } else { readField(line) }
            }
            return (0, false)
        }
        guard read else { return nil }
    }

    private mutating func readStatus(_ line: UnsafeRawBufferPointer) {
        let digits = line.dropFirst("HTTP/1.1 ".utf8.count).prefix(3)
        let text = String(decoding: digits, as: UTF8.self)
        status = Int(text) ?? 0
        fields.add(name: ":status", value: text)
    }

    private mutating func readField(_ line: UnsafeRawBufferPointer) {
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else { return }
        let name = String(unsafeUninitializedCapacity: colon) { name in
            for index in 0..<colon {
                let byte = line[index]
                name[index] = (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte | 0x20 : byte
            }
            return colon
        }
        // Behind the colon there is one space.
        let value = String(fieldBytesAsCharacters: line[min(colon + 2, line.count)...])
        switch name {
        // They are about one connection of HTTP/1.1 (RFC 9113 §8.2.2).
        case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade": break
        case "content-length":
            length = Int(value)
            fields.add(name: name, value: value)
        // They differ from one answer to the next, and would push what doesn't out of the client's table.
        case "age", "cache-status": fields.add(name: name, value: value, indexing: .nonIndexable)
        // Not to be guessed from how well they compress (RFC 7541 §7.1.3).
        case "set-cookie": fields.add(name: name, value: value, indexing: .neverIndexed)
        default: fields.add(name: name, value: value)
        }
    }
}

extension UnsafeRawBufferPointer {
    /// The place of the next CR LF.
    fileprivate func endOfLine(from start: Int) -> Int? {
        var index = start
        while index + 1 < count {
            if self[index] == UInt8(ascii: "\r") && self[index + 1] == UInt8(ascii: "\n") { return index }
            index += 1
        }
        return nil
    }
}
