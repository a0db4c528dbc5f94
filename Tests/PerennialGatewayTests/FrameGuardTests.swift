import NIOCore
import NIOEmbedded
import Testing

@testable import PerennialGateway

/// What is seen to before the library's part of an HTTP/2 connection.
struct FrameGuardTests {
    private static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
    private static let settings: [UInt8] = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100]
    private static let headers: [UInt8] = [0, 0, 2, 1, 4, 0, 0, 0, 1, 0x82, 0x84]
    private static let acknowledgement: [UInt8] = [0, 0, 0, 4, 1, 0, 0, 0, 0]

    @Test(arguments: [1, 2, 7, 10, 100])
    func `settings hold behind the client's first ones, however its bytes are cut`(size: Int) {
        let sent =
            Self.preface + Self.settings + Self.headers + Self.acknowledgement + Self.headers
            + Self.acknowledgement
        var filter = FirstSettings()
        var taken: [UInt8] = []
        for start in stride(from: 0, to: sent.count, by: size) {
            let piece = sent[start..<min(sent.count, start + size)]
            taken += filter.filter(ByteBuffer(bytes: piece)).readableBytesView
        }
        #expect(
            taken == Self.preface + Self.settings + Self.acknowledgement + Self.headers + Self.headers
                + Self.acknowledgement)
    }

    private func stage() throws -> (EmbeddedChannel, EmbeddedEventLoop) {
        let eventLoop = EmbeddedEventLoop()
        let channel = EmbeddedChannel(loop: eventLoop)
        channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 1), promise: nil)
        try channel.pipeline.syncOperations.addHandler(FrameGuard(headTimeout: .seconds(4), eventLoop: eventLoop))
        try channel.writeInbound(ByteBuffer(bytes: Self.preface + Self.settings))
        return (channel, eventLoop)
    }

    /// The error of the last GOAWAY.
    private func goodbye(_ channel: EmbeddedChannel) throws -> UInt8? {
        try channel.readOutbound(as: ByteBuffer.self)?.readableBytesView.last
    }

    @Test func `a head has a time to come to its end`() throws {
        let (channel, eventLoop) = try stage()
        // The first ends in time, the second begins in the same breath and does not.
        try channel.writeInbound(ByteBuffer(bytes: [0, 0, 2, 1, 0, 0, 0, 0, 1, 0x82, 0x84]))
        eventLoop.advanceTime(by: .seconds(3))
        try channel.writeInbound(
            ByteBuffer(bytes: [0, 0, 1, 9, 4, 0, 0, 0, 1, 0x86, 0, 0, 200, 1, 4, 0, 0, 0, 3, 0x82]))
        eventLoop.advanceTime(by: .seconds(3))
        #expect(try goodbye(channel) == nil)
        eventLoop.advanceTime(by: .seconds(1))
        #expect(try goodbye(channel) == 0xb)
        #expect(channel.isActive)
        eventLoop.advanceTime(by: .seconds(1))
        #expect(!channel.isActive)
    }

    @Test func `frames that carry nothing are limited, and come again with time, requests and what is sent`() throws {
        let (channel, eventLoop) = try stage()
        let update = ByteBuffer(
            bytes: Array(repeating: [0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1], count: 1_000).joined())
        for _ in 0..<19 { try channel.writeInbound(update) }
        eventLoop.advanceTime(by: .seconds(1))
        for _ in 0..<2 { try channel.writeInbound(update) }
        // A body that is sent is worth the updates of who takes it.
        try channel.writeOutbound(ByteBuffer(repeating: 0, count: 256_000))
        #expect(try channel.readOutbound(as: ByteBuffer.self)?.readableBytes == 256_000)
        try channel.writeInbound(update)
        #expect(try goodbye(channel) == nil)
        try channel.writeInbound(update)
        #expect(try goodbye(channel) == 0xb)
    }

    @Test func `large pieces of bodies are no burden, and tiny ones are`() throws {
        var budget = FrameBudget(now: .uptimeNanoseconds(0))
        let large = FrameHeader([0, 1, 0, 0, 0, 0, 0, 0, 1])
        let tiny = FrameHeader([0, 0, 1, 0, 0, 0, 0, 0, 1])
        func taken(_ frame: FrameHeader, _ count: Int, second: UInt64) -> Int {
            (0..<count).count { _ in budget.take(frame, at: .uptimeNanoseconds(second * 1_000_000_000)) }
        }
        #expect(taken(large, 100_000, second: 0) == 100_000)
        #expect(taken(tiny, FrameBudget.most, second: 0) == FrameBudget.most)
        #expect(taken(tiny, 1, second: 0) == 0)
        #expect(taken(tiny, 1, second: 1) == 1)
    }
}
