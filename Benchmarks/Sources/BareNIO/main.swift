@preconcurrency import Foundation
import NIOCore
import NIOPosix

// What NIO costs by itself: answers every request with the same prepared bytes, looking only for the empty line that ends it.
//
// bare-nio [BYTES]: a body of BYTES (1000), one event loop, on a port of its own on 127.0.0.1, which it prints.

final class Answerer: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let answer: ByteBuffer
    private var out = ByteBuffer()
    /// How much of the empty line, `\r\n\r\n`, has come.
    private var matched = 0

    init(answer: ByteBuffer) {
        self.answer = answer
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        for byte in unwrapInboundIn(data).readableBytesView {
            switch (byte, matched) {
            case (UInt8(ascii: "\r"), 0), (UInt8(ascii: "\n"), 1), (UInt8(ascii: "\r"), 2): matched += 1
            case (UInt8(ascii: "\n"), 3):
                matched = 0
                out.writeImmutableBuffer(answer)
            case (UInt8(ascii: "\r"), _): matched = 1
            default: matched = 0
            }
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        guard out.readableBytes > 0 else { return }
        context.writeAndFlush(wrapOutboundOut(out), promise: nil)
        out.clear()
    }
}

let size = CommandLine.arguments.dropFirst().first.flatMap { Int($0) } ?? 1000
let head = """
    HTTP/1.1 200 OK\r
    Content-Type: application/json\r
    Cache-Control: max-age=86400\r
    Via: 1.1 perennial\r
    Content-Length: \(size)\r
    Date: Sun, 06 Nov 1994 08:49:37 GMT\r
    Age: 1000\r
    Cache-Status: perennial; hit; ttl=10000\r
    \r\n
    """
let answer = ByteBuffer(string: head + String(repeating: "x", count: size))
let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
let channel = try await ServerBootstrap(group: group)
    .serverChannelOption(.backlog, value: 1024)
    .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
    .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(Answerer(answer: answer))
        }
    }
    .bind(host: "127.0.0.1", port: 0).get()
setlinebuf(stdout)
print("bare-nio on http://127.0.0.1:\(channel.localAddress!.port!)")
try await channel.closeFuture.get()
