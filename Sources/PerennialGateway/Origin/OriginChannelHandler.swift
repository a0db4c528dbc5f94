internal import NIOCore
internal import NIOHTTP1
internal import NIOHTTP2
internal import PerennialHTTP

/// Stands between the client library and the wire of one connection to an origin, or of one stream of HTTP/2.
///
/// It lets through only heads that can be answers: what the library makes of others is not to be relied on (a status below 100 ends
/// the process there). And it takes interim answers and trailers to whoever waits for them (``MessageExtras``), for the library drops
/// both.
final class OriginChannelHandler: ChannelDuplexHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias InboundOut = HTTPClientResponsePart
    typealias OutboundIn = HTTPClientRequestPart
    typealias OutboundOut = HTTPClientRequestPart

    private let exchanges: OriginExchanges
    private var extras: MessageExtras?
    private var isBroken = false

    init(_ exchanges: OriginExchanges) {
        self.exchanges = exchanges
    }

    /// Puts one into a new connection to an origin.
    static func add(toConnection channel: any Channel, _ exchanges: OriginExchanges) -> EventLoopFuture<Void> {
        channel.eventLoop.submit {
            let pipeline = channel.pipeline.syncOperations
            let parser = try pipeline.handler(type: ByteToMessageHandler<HTTPResponseDecoder>.self)
            try pipeline.addHandler(OriginChannelHandler(exchanges), position: .after(parser))
        }
    }

    /// Puts one into a new stream of HTTP/2.
    static func add(toStream channel: any Channel, _ exchanges: OriginExchanges) -> EventLoopFuture<Void> {
        channel.eventLoop.submit {
            let pipeline = channel.pipeline.syncOperations
            let codec = try pipeline.handler(type: HTTP2FramePayloadToHTTP1ClientCodec.self)
            try pipeline.addHandler(OriginChannelHandler(exchanges), position: .after(codec))
        }
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .head(var head):
            extras = exchanges.take(from: &head.headers)
            context.write(wrapOutboundOut(.head(head)), promise: promise)
        case .end(nil):
            let trailers = extras?.requestTrailers ?? [:]
            let headers = trailers.isEmpty ? nil : HTTPHeaders(trailers.map { ($0.name, $0.value) })
            context.write(wrapOutboundOut(.end(headers)), promise: promise)
        default: context.write(data, promise: promise)
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if isBroken { return }
        switch unwrapInboundIn(data) {
        case .head(let head):
            if let problem = problem(in: head) {
                isBroken = true
                context.fireErrorCaught(problem)
                return context.close(promise: nil)
            }
            if head.status.code < 200 { extras?.note(interim: Int(head.status.code), HeaderFields(head.headers)) }
        case .end(let trailers):
            if let trailers { extras?.responseTrailers = passableTrailers(HeaderFields(trailers)) }
            // An idle connection keeps nobody's exchange.
            extras = nil
        default: break
        }
        context.fireChannelRead(data)
    }

    private func problem(in head: HTTPResponseHead) -> ResponseProblem? {
        let status = Int(head.status.code)
        // Interim answers (RFC 9110 §15.2) but for the one that changes the protocol, which nobody asked for.
        if (100...199).contains(status) { return status == 101 ? .status : nil }
        return responseProblem(
            status: status, fields: HeaderFields(head.headers), isOldVersion: head.version == .http1_0)
    }
}
