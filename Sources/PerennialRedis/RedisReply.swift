internal import CHiredis

/// What Redis answered, copied out of the client's memory.
package enum RedisReply: Hashable, Sendable {
    case bytes([UInt8])
    case integer(Int64)
    case array([RedisReply])
    case nothing
    /// A refusal, with its code in front.
    case error(String)

    init(_ reply: UnsafePointer<redisReply>) {
        let reply = reply.pointee
        switch reply.type {
        case REDIS_REPLY_STRING, REDIS_REPLY_STATUS:
            self = .bytes(Self.bytes(reply))
        case REDIS_REPLY_INTEGER:
            self = .integer(reply.integer)
        case REDIS_REPLY_ARRAY:
            self = .array((0..<reply.elements).map { RedisReply(UnsafePointer(reply.element[$0]!)) })
        case REDIS_REPLY_ERROR:
            self = .error(String(decoding: Self.bytes(reply), as: UTF8.self))
        default:
            self = .nothing
        }
    }

    private static func bytes(_ reply: redisReply) -> [UInt8] {
        guard let text = reply.str, reply.len > 0 else { return [] }
        return Array(UnsafeRawBufferPointer(start: text, count: reply.len))
    }

    package var bytes: [UInt8]? {
        if case .bytes(let bytes) = self { return bytes }
        return nil
    }

    package var text: String? { bytes.map { String(decoding: $0, as: UTF8.self) } }

    /// A number, also one that is written as text.
    package var integer: Int64? {
        switch self {
        case .integer(let number): number
        case .bytes(let bytes): Int64(String(decoding: bytes, as: UTF8.self))
        default: nil
        }
    }

    package var elements: [RedisReply]? {
        if case .array(let elements) = self { return elements }
        return nil
    }
}
