import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOEmbedded
import NIOHTTP1
import Perennial
import PerennialHTTP
import PerennialTesting

@testable import PerennialGateway

/// What stages have in common: caches with some responses in them, and the gateway's settings.
struct Scenery: Sendable {
    let configuration: GatewayConfiguration
    /// What is stored is in memory.
    let warm: ResponseCache
    /// What is stored is in the store alone, and stays there.
    let cold: ResponseCache

    init(_ configure: (inout GatewayConfiguration) -> Void = { _ in }) async throws {
        var configuration = GatewayConfiguration(origin: try OriginURL("http://127.0.0.1:9"))
        configuration.workers = 0
        configure(&configuration)
        self.configuration = configuration
        let clock = ManualClock()
        warm = try ResponseCache(configuration: configuration, time: clock)
        configuration.memory = 0
        cold = try ResponseCache(configuration: configuration, time: clock)
        for cache in [warm, cold] {
            for (path, size) in [("/small", 5), ("/middle", 60 << 10), ("/large", 1 << 20)] {
                let response = StoredResponse(
                    status: 200,
                    fields: ["Content-Type": "text/plain", "ETag": "\"e\"", "Cache-Control": "max-age=60"],
                    body: (0..<size).map { UInt8(truncatingIfNeeded: UInt8(ascii: "a") + UInt8($0 % 26)) })
                try await cache.cache.set(cache.key(for: path), to: CachedResponse(response))
            }
        }
    }

    func shutdown() async {
        await warm.shutdown(deadline: .seconds(1))
        await cold.shutdown(deadline: .seconds(1))
    }
}

/// What a task would do with a request, one thing after the other, each when the one before has been done.
enum AnswerStep: Sendable {
    case interim(Int)
    /// The whole answer, with a body of so many bytes.
    case finish(Int, size: Int)
    /// The head of a streamed answer.
    case begin(Framing, length: Int?)
    /// The origin agrees to another protocol; pieces follow.
    case tunnel
    case piece(Int)
    case end(HeaderFields)
    case abort
    case bodyIsWanted
}

/// A client's connection in memory, with the gateway's own handlers, and with the test in the place of the network, the
/// clock and the tasks that answer.
final class Stage {
    struct Outcome {
        var operations: Int
        var sent: ByteBuffer
        var metrics: GatewayMetrics
        /// What is left that should be gone.
        var leftovers: [String]
    }

    let channel: EmbeddedChannel
    let eventLoop = EmbeddedEventLoop()
    let disturber: Disturber
    private let begun = NIOLockedValueBox<[(request: ClientRequest, writer: ResponseWriter)]>([])
    private let counters = LoopCounters()
    let memory: BodyMemory
    private let loop: LoopState
    private let answers: [String: [AnswerStep]]
    private var handlers: [ConnectionHandler] = []
    /// The client's own end, if it speaks more than plain HTTP/1.1.
    let client: EmbeddedChannel?

    /// - Parameter answers: by the request's path, how a task answers.
    init(
        _ scenery: Scenery, isCold: Bool = false, answers: [String: [AnswerStep]], at place: Int?,
        _ disturbance: Disturbance, secure: (any ChannelHandler)? = nil,
        client: (EmbeddedEventLoop) throws -> EmbeddedChannel? = { _ in nil }
    ) throws {
        channel = EmbeddedChannel(loop: eventLoop)
        disturber = Disturber(channel, at: place, disturbance)
        self.answers = answers
        memory = BodyMemory(limit: scenery.configuration.bodyMemory)
        let cache = isCold ? scenery.cold : scenery.warm
        loop = LoopState(eventLoop: eventLoop, counters: counters, routes: cache.routing.now, memory: memory)
        let service = GatewayService(
            scenery.configuration,
            Responder(
                responses: cache, logger: Logger(label: "stage") { _ in SwiftLogNoOpLogHandler() }, purgers: []),
            respond: { [begun] request, _, writer in
                begun.withLockedValue { $0.append((request, writer)) }
                return Task {}
            })
        self.client = try client(eventLoop)
        let pipeline = channel.pipeline.syncOperations
        try pipeline.addHandler(disturber)
        if let secure { try pipeline.addHandler(secure) }
        try pipeline.addHandler(ProtocolDetector(service: service, loop: loop, isSecure: secure != nil))
        let address = try SocketAddress(ipAddress: "127.0.0.1", port: 1)
        channel.connect(to: address, promise: nil)
        self.client?.connect(to: address, promise: nil)
        pump()
    }

    // MARK: - What the client and the world do

    func send(_ text: String) {
        receive(ByteBuffer(string: text))
    }

    func receive(_ bytes: ByteBuffer) {
        deliver(bytes, to: channel)
        note()
        pump()
    }

    private func deliver(_ bytes: ByteBuffer, to channel: EmbeddedChannel) {
        guard channel.isActive else { return }
        channel.pipeline.fireChannelRead(bytes)
        if channel.isActive { channel.pipeline.fireChannelReadComplete() }
    }

    func halfClose() {
        guard channel.isActive else { return }
        channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        pump()
    }

    func advance(_ time: TimeAmount) {
        eventLoop.advanceTime(by: time)
        pump()
    }

    func drain() {
        _ = loop.drain()
        pump()
    }

    /// The tasks that have begun do what they are to do.
    func answer() {
        while let next = begun.withLockedValue({ $0.isEmpty ? nil : $0.removeFirst() }) {
            note(next.writer.connection.value)
            Answering(next.request, next.writer, steps: answers[path(of: next.request)] ?? []).goOn()
            pump()
        }
    }

    private func path(of request: ClientRequest) -> String {
        let parts = request.key.split(separator: "/", maxSplits: 2)
        return parts.count > 2 ? "/\(parts[2])" : request.key
    }

    /// Lets everything happen that is due.
    func pump() {
        eventLoop.run()
        note()
        while let client {
            var hasMoved = false
            defer { note() }
            while let bytes = try? channel.readOutbound(as: ByteBuffer.self) {
                hasMoved = true
                deliver(bytes, to: client)
            }
            while let bytes = try? client.readOutbound(as: ByteBuffer.self) {
                hasMoved = true
                deliver(bytes, to: channel)
            }
            eventLoop.run()
            if !hasMoved { return }
        }
    }

    private func note() {
        if let handler = try? channel.pipeline.syncOperations.handler(type: ConnectionHandler.self) { note(handler) }
        for (_, writer) in begun.withLockedValue({ $0 }) { note(writer.connection.value) }
    }

    /// The first connection or stream that had a request for a task.
    var handler: ConnectionHandler? { handlers.first }

    private func note(_ handler: ConnectionHandler) {
        if !handlers.contains(where: { $0 === handler }) { handlers.append(handler) }
    }

    // MARK: - The end

    /// The client takes everything, and goes.
    func end() -> Outcome {
        disturber.release()
        pump()
        answer()
        disturber.release()
        pump()
        channel.close(promise: nil)
        client?.close(promise: nil)
        pump()
        answer()
        var metrics = GatewayMetrics()
        counters.add(to: &metrics)
        var leftovers: [String] = []
        for handler in handlers {
            if handler.exchange != nil { leftovers.append("an exchange") }
            if !handler.waiting.isEmpty || handler.head != nil { leftovers.append("what waits for its turn") }
            if handler.unsent.readableBytes > 0 || handler.out.readableBytes > 0 { leftovers.append("unsent bytes") }
            if handler.context != nil { leftovers.append("a context") }
            if handler.idleTimer != nil || handler.headTimer != nil || handler.closeTimer != nil
                || handler.uploadTimer != nil
            {
                leftovers.append("a timer")
            }
            if handler.unfinishedWrites != 0 { leftovers.append("unfinished writes") }
        }
        if metrics.openConnections != 0 {
            leftovers.append("\(metrics.openConnections) connections that count as open")
        }
        if metrics.openTunnels != 0 { leftovers.append("\(metrics.openTunnels) tunnels that count as open") }
        if !loop.unbounded.isEmpty { leftovers.append("an answer without a length that the loop knows") }
        if !loop.heldBodies.isEmpty { leftovers.append("a body held") }
        if memory.used != 0 { leftovers.append("\(memory.used) bytes of memory") }
        if memory.isWanted { leftovers.append("somebody who waits for memory") }
        if !loop.isEmpty { leftovers.append("a connection that the loop knows") }
        return Outcome(
            operations: disturber.operations, sent: disturber.sent, metrics: metrics, leftovers: leftovers)
    }

    /// Handlers that live on, once the stage is gone.
    var watched: [Watched] { handlers.map(Watched.init) }

    final class Watched {
        weak var handler: ConnectionHandler?

        init(_ handler: ConnectionHandler) {
            self.handler = handler
        }
    }
}

/// Does what a task does that answers.
private final class Answering {
    private let request: ClientRequest
    private let writer: ResponseWriter
    private var steps: ArraySlice<AnswerStep>

    init(_ request: ClientRequest, _ writer: ResponseWriter, steps: [AnswerStep]) {
        self.request = request
        self.writer = writer
        self.steps = steps[...]
    }

    private var handler: ConnectionHandler { writer.connection.value }

    func goOn() {
        guard let step = steps.popFirst() else { return }
        let done = writer.eventLoop.makePromise(of: Void.self)
        done.futureResult.assumeIsolated().whenComplete { result in
            switch result {
            case .success: self.writer.eventLoop.assumeIsolated().execute { self.goOn() }
            case .failure: self.handler.abort()
            }
        }
        switch step {
        case .interim(let status):
            request.extras.note(interim: status, ["Link": "</a>"])
            done.succeed()
        case .finish(let status, let size):
            let body = ByteBuffer(repeating: UInt8(ascii: "b"), count: size)
            handler.finish(
                with: Reply(
                    kind: .miss, status: status, head: head(status, length: size),
                    body: request.isHead ? ByteBuffer() : body))
            done.succeed()
        case .begin(let framing, let length):
            var head = head(200, length: length)
            if framing == .chunked { head.writeStaticString("Transfer-Encoding: chunked\r\n") }
            handler.beginStreaming(head, status: 200, kind: .pass, framing: framing, promise: done)
        case .tunnel: handler.beginTunnel(head(101, length: nil), promise: done)
        case .piece(let size):
            handler.stream(ByteBuffer(repeating: UInt8(ascii: "c"), count: size), promise: done)
        case .end(let trailers):
            handler.endStreaming(trailers: trailers)
            done.succeed()
        case .abort:
            handler.abort()
            done.succeed()
        case .bodyIsWanted:
            handler.bodyIsWanted()
            done.succeed()
        }
    }

    private func head(_ status: Int, length: Int?) -> ByteBuffer {
        var head = ByteBuffer()
        head.writeStatusLine(status)
        if let length { head.writeField("Content-Length", "\(length)") }
        return head
    }
}
