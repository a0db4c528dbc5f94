// Writes the heads of responses as bytes (RFC 9112 §4, §5).

internal import NIOCore
internal import NIOHTTP1
internal import PerennialHTTP

extension ByteBuffer {
    mutating func writeStatusLine(_ status: Int) {
        writeStaticString("HTTP/1.1 ")
        writeDecimal(Int64(status))
        writeStaticString(" ")
        writeString(HTTPResponseStatus(statusCode: status).reasonPhrase)
        writeLineEnd()
    }

    /// - Parameter value: made here, not by somebody else: see ``writeFields(_:)``.
    mutating func writeField(_ name: String, _ value: String) {
        writeString(name)
        writeStaticString(": ")
        writeString(value)
        writeLineEnd()
    }

    /// Writes a line for each field, but for those whose text could end the line early.
    mutating func writeFields(_ fields: HeaderFields) {
        for field in fields where field.name.isOneLine && field.value.isOneLine {
            writeString(field.name)
            writeStaticString(": ")
            writeFieldText(field.value)
            writeLineEnd()
        }
    }

    /// Writes the bytes that a field's value has come with.
    mutating func writeFieldText(_ text: String) {
        text.withFieldBytes { _ = writeBytes(UnsafeRawBufferPointer($0)) }
    }

    /// The field line every message through the gateway gets (RFC 9110 §7.6.3); behind those of servers before it.
    mutating func writeVia() {
        writeStaticString("Via: 1.1 perennial\r\n")
    }

    mutating func writeLineEnd() {
        writeStaticString("\r\n")
    }

    mutating func writeDecimal(_ number: Int64) {
        if (0...9).contains(number) {
            writeInteger(UInt8(ascii: "0") + UInt8(number))
        } else {
            // 15 bytes and less make a string without an allocation.
            writeString(String(number))
        }
    }
}

extension String {
    fileprivate var isOneLine: Bool {
        utf8.allSatisfy { $0 != UInt8(ascii: "\r") && $0 != UInt8(ascii: "\n") && $0 != 0 }
    }
}
