import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import NIOSSL

/// An origin that answers a request's head with bytes of the test's choice, and then sends back what it gets.
final class RawOrigin: Sendable {
    enum After: Sendable {
        case echoes
        /// Reads nothing more until it is told to.
        case isDeaf
        /// Sends so many pieces of 64 KiB, each when the one before has been taken.
        case talks(pieces: Int, taken: @Sendable (Int) -> Void)
        case closes
    }

    let port: Int
    private let channel: any Channel
    private let state = NIOLockedValueBox<(heads: [String], channels: [any Channel], ended: Int)>(([], [], 0))

    /// Every request's head.
    var heads: [String] { state.withLockedValue(\.heads) }
    /// How many connections have ended, or their sending sides have.
    var ended: Int { state.withLockedValue(\.ended) }

    /// - Parameters:
    ///   - secure: speaks TLS with this, and names what was agreed upon in the field `X-Protocol`.
    ///   - answer: for a request's head.
    init(secure: NIOSSLContext? = nil, _ answer: @escaping @Sendable (String) -> (String, After)) async throws {
        let state = state
        channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelOption(.writeBufferWaterMark, value: .init(low: 1, high: 1024))
            .childChannelInitializer { channel in
                state.withLockedValue { $0.channels.append(channel) }
                return channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    if let secure { try pipeline.addHandler(NIOSSLServerHandler(context: secure)) }
                    try pipeline.addHandler(
                        Talker(
                            answer: { head in
                                state.withLockedValue { $0.heads.append(head) }
                                return answer(head)
                            }, ended: { state.withLockedValue { $0.ended += 1 } }))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        port = channel.localAddress?.port ?? 0
    }

    /// Those that are deaf read again.
    func listen() async throws {
        for channel in state.withLockedValue(\.channels) {
            try? await channel.setOption(.autoRead, value: true).get()
            channel.read()
        }
    }

    func stop() async throws {
        try? await channel.close()
        for channel in state.withLockedValue(\.channels) { try? await channel.close() }
    }
}

private final class Talker: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let answer: (String) -> (String, RawOrigin.After)
    private let ended: () -> Void
    private var received = ByteBuffer()
    private var after: RawOrigin.After?

    init(answer: @escaping (String) -> (String, RawOrigin.After), ended: @escaping () -> Void) {
        self.answer = answer
        self.ended = ended
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        if after != nil {
            if case .echoes = after { context.writeAndFlush(wrapOutboundOut(bytes), promise: nil) }
            return
        }
        received.writeBuffer(&bytes)
        let text = String(buffer: received)
        guard text.hasSuffix("\r\n\r\n") else { return }
        let (head, after) = answer(text)
        received.clear()
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: head)), promise: nil)
        // Another request may follow what is no tunnel.
        guard head.hasPrefix("HTTP/1.1 101") else { return }
        self.after = after
        let channel = context.channel
        switch after {
        case .echoes: break
        case .isDeaf: channel.setOption(.autoRead, value: false).whenComplete { _ in }
        case .closes: context.close(promise: nil)
        case .talks(let pieces, let taken):
            Task {
                let piece = ByteBuffer(repeating: UInt8(ascii: "x"), count: 64 << 10)
                for number in 0..<pieces {
                    try await channel.writeAndFlush(piece)
                    taken(number + 1)
                }
            }
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .some(ChannelEvent.inputClosed) = event as? ChannelEvent {
            ended()
            context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: "bye")), promise: nil)
            context.close(promise: nil)
        }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func channelInactive(context: ChannelHandlerContext) { ended() }
}
