import NIOCore
import NIOEmbedded

/// What happens to a connection while an operation passes between its handlers and the network.
enum Disturbance: CaseIterable {
    /// The operation fails, and the connection is gone.
    case failing
    /// The connection is gone, and then the operation fails.
    case resetting
    /// The operation succeeds, and the connection is gone.
    case closing
    /// The client sends no more.
    case halfClosing
    /// The client takes nothing, for a while.
    case blocking
    /// The client seems to take nothing, but does before the operation is over.
    case flapping

    /// Whether the client gets the same bytes in the end as without it.
    var isHarmless: Bool { self == .blocking || self == .flapping }
    /// Whether nothing can follow.
    var isFatal: Bool { self == .failing || self == .resetting || self == .closing }
}

/// Stands between the network and a connection's handlers, counts what passes, and does something at one of these
/// operations, from within it: what happens then comes back into the handlers while they are still at it.
final class Disturber: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private enum Held {
        case write(NIOAny, EventLoopPromise<Void>?)
        case flush
        case close(CloseMode, EventLoopPromise<Void>?)

        /// Whether what comes before it has to go.
        var isFlush: Bool {
            if case .write = self { false } else { true }
        }
    }

    /// How many operations have passed.
    private(set) var operations = 0
    /// What the client was sent.
    private(set) var sent = ByteBuffer()
    private let place: Int?
    private let disturbance: Disturbance
    private let channel: EmbeddedChannel
    private var context: ChannelHandlerContext?
    private var isBlocked = false
    private var held: [Held] = []

    /// - Parameter place: the operation at which it happens, from 0; `nil`: nothing happens.
    init(_ channel: EmbeddedChannel, at place: Int?, _ disturbance: Disturbance) {
        self.channel = channel
        self.place = place
        self.disturbance = disturbance
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }
    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        pass(context, promise: nil) { context.fireChannelRead(data) }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        pass(context, promise: nil) { context.fireChannelReadComplete() }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        pass(context, promise: nil) { context.fireUserInboundEventTriggered(event) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        failHeld()
        context.fireChannelInactive()
    }

    func read(context: ChannelHandlerContext) {
        pass(context, promise: nil) { context.read() }
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        pass(context, promise: promise, isOutbound: true) {
            guard channel.isActive else { return promise?.fail(ChannelError.ioOnClosedChannel) ?? () }
            held.append(.write(data, promise))
        }
    }

    func flush(context: ChannelHandlerContext) {
        pass(context, promise: nil, isOutbound: true) {
            held.append(.flush)
            if !isBlocked { giveAway(context) }
        }
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        pass(context, promise: promise) {
            guard mode != .output else {
                if isBlocked { return held.append(.close(mode, promise)) }
                // The sending side alone can't be closed here; the client closes then.
                promise?.succeed()
                return
            }
            context.close(mode: mode, promise: promise)
        }
    }

    /// The client takes what it gets again.
    func release() {
        guard isBlocked, let context else { return }
        isBlocked = false
        giveAway(context)
        guard channel.isActive else { return }
        channel.isWritable = true
        context.fireChannelWritabilityChanged()
    }

    /// Lets go of what is held up to the last flush.
    private func giveAway(_ context: ChannelHandlerContext) {
        while !isBlocked, held.contains(where: \.isFlush) {
            switch held.removeFirst() {
            case .write(let data, let promise):
                sent.writeImmutableBuffer(unwrapOutboundIn(data))
                context.write(data, promise: promise)
            case .flush: context.flush()
            case .close(_, let promise): promise?.succeed()
            }
        }
    }

    private func pass(
        _ context: ChannelHandlerContext, promise: EventLoopPromise<Void>?, isOutbound: Bool = false,
        _ goOn: () -> Void
    ) {
        guard channel.isActive else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        operations += 1
        guard operations - 1 == place else { return goOn() }
        switch disturbance {
        case .failing:
            promise?.fail(ChannelError.ioOnClosedChannel)
            context.close(promise: nil)
        case .resetting:
            context.fireErrorCaught(IOError(errnoCode: 104, reason: "read"))
            context.close(promise: nil)
            promise?.fail(ChannelError.ioOnClosedChannel)
        case .closing:
            goOn()
            context.close(promise: nil)
        case .halfClosing:
            context.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
            goOn()
        case .blocking:
            isBlocked = true
            channel.isWritable = false
            context.fireChannelWritabilityChanged()
            goOn()
        // A channel becomes writable again within a flush, and at no other time.
        case .flapping where !isOutbound: goOn()
        case .flapping:
            channel.isWritable = false
            context.fireChannelWritabilityChanged()
            goOn()
            channel.isWritable = true
            context.fireChannelWritabilityChanged()
        }
    }

    private func failHeld() {
        let failed = held
        held = []
        for case .write(_, let promise?) in failed { promise.fail(ChannelError.ioOnClosedChannel) }
        for case .close(_, let promise?) in failed { promise.fail(ChannelError.ioOnClosedChannel) }
    }
}
