internal import NIOCore

/// The first bytes of a frame (RFC 9113 §4.1).
struct FrameHeader: Hashable {
    static let size = 9

    enum Kind: UInt8 {
        case data, headers, priority, reset, settings, pushPromise, ping, goAway, windowUpdate, continuation
    }

    /// Of the payload, in bytes.
    var length: Int
    /// `nil`: one that nobody knows.
    var kind: Kind?
    var flags: UInt8
    var stream: UInt32

    /// - Parameter bytes: ``size`` of them.
    init(_ bytes: some Sequence<UInt8>) {
        let bytes = Array(bytes)
        length = Int(bytes[0]) << 16 | Int(bytes[1]) << 8 | Int(bytes[2])
        kind = Kind(rawValue: bytes[3])
        flags = bytes[4]
        stream = bytes[5..<9].reduce(0) { $0 << 8 | UInt32($1) } & 0x7FFF_FFFF
    }

    /// Of settings.
    var isAcknowledgement: Bool { kind == .settings && flags & 1 != 0 && length == 0 }
    var isOfHead: Bool { kind == .headers || kind == .continuation }
    /// Whether a head ends with it.
    var endsHead: Bool { flags & 4 != 0 }
}

/// Follows the frames in what a client sends on an HTTP/2 connection, without decoding them.
struct FrameScanner {
    /// A client's first line (RFC 9113 §3.4), in bytes.
    static let preface = 24

    private var header: [UInt8] = []
    private var current: FrameHeader?
    /// What is missing of a payload; first of the preface.
    private var left = preface
    /// Whether a part of a head has come, and not all of it.
    private(set) var isWithinHead = false
    /// How many heads have come as a whole.
    private(set) var heads = 0

    /// Takes bytes off the front of a view: the rest of a frame's beginning, or as much of its payload as there is.
    /// - Returns: what the frame's beginning said, when the last of its bytes were taken.
    mutating func take(_ bytes: inout ByteBufferView) -> FrameHeader? {
        if left > 0 {
            let count = min(left, bytes.count)
            bytes = bytes.dropFirst(count)
            left -= count
            if left == 0 { endFrame() }
            return nil
        }
        let missing = bytes.prefix(FrameHeader.size - header.count)
        header += missing
        bytes = bytes.dropFirst(missing.count)
        guard header.count == FrameHeader.size else { return nil }
        let found = FrameHeader(header)
        header.removeAll(keepingCapacity: true)
        current = found
        left = found.length
        if found.isOfHead { isWithinHead = true }
        if left == 0 { endFrame() }
        return found
    }

    private mutating func endFrame() {
        guard let current else { return }
        self.current = nil
        if current.isOfHead && current.endsHead {
            isWithinHead = false
            heads += 1
        }
    }
}

/// Makes the gateway's settings hold from a client's first request on.
///
/// The library holds a client to them from its acknowledgement on, and until then to its own idea of how large a head
/// may be, which is small. So it gets an acknowledgement behind the client's first SETTINGS, which come before any
/// request, and not the client's own.
struct FirstSettings {
    static let acknowledgement: [UInt8] = [0, 0, 0, 4, 1, 0, 0, 0, 0]

    private enum Phase {
        case expected
        /// The client's settings are coming.
        case begun
        /// The library has been told that its own are known; the client has not said so.
        case assumed
        case acknowledged
    }

    private var phase = Phase.expected
    private var header: [UInt8] = []
    private var left = FrameScanner.preface

    /// - Returns: what the library gets in place of `bytes`.
    mutating func filter(_ bytes: ByteBuffer) -> ByteBuffer {
        if phase == .acknowledged { return bytes }
        var rest = bytes.readableBytesView
        var out = ByteBuffer()
        while !rest.isEmpty && phase != .acknowledged {
            if left > 0 {
                let part = rest.prefix(left)
                out.writeBytes(part)
                rest = rest.dropFirst(part.count)
                left -= part.count
            } else {
                let missing = rest.prefix(FrameHeader.size - header.count)
                header += missing
                rest = rest.dropFirst(missing.count)
                if header.count == FrameHeader.size { takeHeader(&out) }
            }
            if phase == .begun && left == 0 {
                out.writeBytes(Self.acknowledgement)
                phase = .assumed
            }
        }
        out.writeBytes(rest)
        return out
    }

    private mutating func takeHeader(_ out: inout ByteBuffer) {
        let frame = FrameHeader(header)
        if phase == .assumed && frame.isAcknowledgement {
            phase = .acknowledged
        } else {
            if phase == .expected && frame.kind == .settings { phase = .begun }
            out.writeBytes(header)
            left = frame.length
        }
        header = []
    }
}

/// How many frames a client may send that cost work and carry little: all but those that begin a request or bring a
/// part of a body.
struct FrameBudget {
    /// A second.
    static let rate = 2_000
    /// At most saved up.
    static let most = 20_000
    /// What a client may answer with frames of its own: each so many bytes that it is sent, and each request.
    private static let bytesForOne = 256
    private static let perRequest = 8
    /// DATA frames with less in them count.
    private static let smallData = 256

    private var left = most
    private var unpaidBytes = 0
    private var refilledAt: NIODeadline

    init(now: NIODeadline) {
        refilledAt = now
    }

    /// - Returns: whether the frame is within the budget.
    mutating func take(_ frame: FrameHeader, at now: @autoclosure () -> NIODeadline) -> Bool {
        switch frame.kind {
        case .headers: add(Self.perRequest)
        case .data where frame.length >= Self.smallData: break
        default: left -= 1
        }
        if left < 0 { refill(now()) }
        return left >= 0
    }

    mutating func noteSent(_ bytes: Int) {
        unpaidBytes += bytes
        add(unpaidBytes / Self.bytesForOne)
        unpaidBytes %= Self.bytesForOne
    }

    private mutating func refill(_ now: NIODeadline) {
        let milliseconds = (now - refilledAt).nanoseconds / 1_000_000
        add(Int(min(milliseconds, 60_000)) * Self.rate / 1_000)
        refilledAt = now
    }

    private mutating func add(_ count: Int) {
        left = min(Self.most, left + count)
    }
}
