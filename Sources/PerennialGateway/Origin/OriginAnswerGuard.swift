internal import NIOCore
internal import NIOHTTP1
internal import PerennialHTTP

/// Stands behind the parser of an origin's answers and lets through only heads that can be answers.
///
/// What the client library makes of other heads is not to be relied on: a status below 100 ends the process there.
final class OriginAnswerGuard: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias InboundOut = HTTPClientResponsePart

    private var isBroken = false

    /// Puts one into a new connection to an origin.
    static func add(to channel: any Channel) -> EventLoopFuture<Void> {
        channel.eventLoop.submit {
            let pipeline = channel.pipeline.syncOperations
            let parser = try pipeline.handler(type: ByteToMessageHandler<HTTPResponseDecoder>.self)
            try pipeline.addHandler(OriginAnswerGuard(), position: .after(parser))
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if isBroken { return }
        if case .head(let head) = unwrapInboundIn(data), let problem = problem(in: head) {
            isBroken = true
            context.fireErrorCaught(problem)
            return context.close(promise: nil)
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
