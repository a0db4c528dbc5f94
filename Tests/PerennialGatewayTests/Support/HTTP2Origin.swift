import NIOConcurrencyHelpers
import NIOCore
import NIOHPACK
import NIOHTTP2
import NIOPosix
import NIOSSL

@testable import PerennialGateway

/// An https origin that speaks HTTP/2, whose frames are made by the test, whether they make sense or not.
final class HTTP2Origin: Sendable {
    /// A request whose head has come.
    struct Request: Sendable {
        /// Counts the connections to this origin from 1.
        var connection: Int
        /// Counts the requests of its connection from 1.
        var number: Int
        var fields: HPACKHeaders
    }

    /// What to answer: frames, all on the request's stream.
    typealias Handler = @Sendable (Request) -> [HTTP2Frame.FramePayload]

    let port: Int
    private let channel: any Channel
    private let seen = NIOLockedValueBox<[Request]>([])

    var requests: [Request] { seen.withLockedValue { $0 } }

    init(_ certificates: Certificates, _ handler: @escaping Handler) async throws {
        let certificate = try ServerCertificate(
            certificateFile: certificates.path("server.crt"), keyFile: certificates.path("server.key"))
        let connections = NIOLockedValueBox(0)
        channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { [seen] channel in
                channel.eventLoop.makeCompletedFuture {
                    let number = connections.withLockedValue { count in
                        count += 1
                        return count
                    }
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.addHandler(NIOSSLServerHandler(context: certificate.context))
                    try pipeline.addHandler(
                        NIOHTTP2Handler(
                            mode: .server, headerBlockValidation: .disabled, contentLengthValidation: .disabled))
                    try pipeline.addHandler(
                        FrameAnswerer(connection: number) { request in
                            seen.withLockedValue { $0.append(request) }
                            return handler(request)
                        })
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        port = channel.localAddress?.port ?? 0
    }

    func stop() async throws { try await channel.close() }
}

private final class FrameAnswerer: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame
    typealias OutboundOut = HTTP2Frame

    private let connection: Int
    private let handler: HTTP2Origin.Handler
    private var requests = 0

    init(connection: Int, _ handler: @escaping HTTP2Origin.Handler) {
        self.connection = connection
        self.handler = handler
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let frame = unwrapInboundIn(data)
        guard case .headers(let head) = frame.payload else { return }
        requests += 1
        let request = HTTP2Origin.Request(connection: connection, number: requests, fields: head.headers)
        for payload in handler(request) {
            if case .settings = payload {
                // The test wants silence from here on: not even a PING is answered.
                context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
                _ = context.channel.setOption(.autoRead, value: false)
                return
            }
            context.write(wrapOutboundOut(HTTP2Frame(streamID: frame.streamID, payload: payload)), promise: nil)
        }
        context.flush()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

extension FrameAnswerer: RemovableChannelHandler {}

extension HTTP2Frame.FramePayload {
    static func head(_ status: Int, _ fields: [(String, String)] = [], isLast: Bool = false) -> Self {
        .headers(.init(headers: HPACKHeaders([(":status", "\(status)")] + fields), endStream: isLast))
    }

    static func body(_ text: String, isLast: Bool = true) -> Self {
        .data(.init(data: .byteBuffer(ByteBuffer(string: text)), endStream: isLast))
    }

    /// The origin falls silent.
    static var silence: Self { .settings(.ack) }
}
