internal import NIOCore

/// The rest of a response's body, as it comes from the origin; read no faster than it is asked for.
///
/// Letting go of it before its end ends its exchange: the connection of HTTP/1.1 closes, the stream of HTTP/2 is reset.
///
/// `@unchecked Sendable`: it is read by one task at a time. The fetch that made it stops reading before it hands it
/// over, and ``Handoff`` gives it to one taker.
final class OriginBody: @unchecked Sendable {
    typealias Strategy = NIOAsyncSequenceProducerBackPressureStrategies.HighLowWatermark
    typealias Producer = NIOThrowingAsyncSequenceProducer<ByteBuffer, any Error, Strategy, OriginBodyDemand>

    /// In bytes, as announced; `nil`: nobody knows before its end.
    let length: Int64?
    private let exchange: NIOLoopBound<OriginExchange>
    private let eventLoop: any EventLoop
    private var iterator: Producer.AsyncIterator
    private var readAhead = CircularBuffer<ByteBuffer>()
    /// The memory that what was read ahead takes.
    private var held: BodyMemory.Hold?

    init(_ pieces: Producer, length: Int64?, of exchange: NIOLoopBound<OriginExchange>, on eventLoop: any EventLoop) {
        self.length = length
        self.exchange = exchange
        self.eventLoop = eventLoop
        iterator = pieces.makeAsyncIterator()
    }

    /// The next piece; `nil` at the end.
    /// - Throws: ``OriginBroken`` when the body breaks off.
    @concurrent
    func next() async throws -> ByteBuffer? {
        if let piece = readAhead.popFirst() {
            if readAhead.isEmpty { held = nil }
            return piece
        }
        do {
            let piece = try await iterator.next()
            // A cancelled read must not look like the end of the body.
            try Task.checkCancellation()
            return piece
        } catch {
            if Task.isCancelled { throw CancellationError() }
            throw OriginBroken(answering: error)
        }
    }

    /// Why a body is not there as a whole. It can then still be read from its start.
    enum Excess: Error {
        /// It is larger than the limit.
        case size
        /// There is no memory for it now.
        case memory
        /// It has been coming for a while, and its end is not there.
        case time
    }

    /// The whole body.
    /// - Parameters:
    ///   - limit: in bytes.
    ///   - hold: is filled with the memory that the body takes.
    ///   - patience: how long it may be coming.
    /// - Throws: ``OriginBroken``.
    @concurrent
    func collect(
        limit: Int, memory hold: BodyMemory.Hold, patience: TimeAmount
    ) async throws -> Result<ByteBuffer, Excess> {
        if let length {
            if length > limit { return .failure(.size) }
            if !hold.grow(to: Int(length)) { return .failure(.memory) }
        }
        let end = NIODeadline.now() + patience
        // Looks at the clock, though nothing may have come by then.
        let alarm = eventLoop.scheduleTask(in: patience) { [exchange] in exchange.value.wakeReader() }
        defer { alarm.cancel() }
        var pieces = CircularBuffer<ByteBuffer>()
        var size = 0
        while let piece = try await next() {
            if piece.readableBytes > 0 { pieces.add(piece, expecting: length.map { Int($0) - size } ?? size) }
            size += piece.readableBytes
            let excess: Excess? =
                if size > limit {
                    .size
                } else if !hold.grow(to: size) {
                    .memory
                } else if size < length.map({ Int($0) }) ?? .max, NIODeadline.now() >= end {
                    .time
                } else {
                    nil
                }
            if let excess {
                readAhead = pieces
                held = hold
                return .failure(excess)
            }
        }
        if pieces.count == 1 { return .success(pieces[pieces.startIndex]) }
        var bytes = ByteBufferAllocator().buffer(capacity: size)
        for piece in pieces { bytes.writeImmutableBuffer(piece) }
        return .success(bytes)
    }

    /// The body goes to one client: its place among the fetches is free for others.
    /// - Returns: whether it may.
    func becomePass(of client: ClientAddress?) async -> Bool {
        (try? await eventLoop.submit { [exchange] in exchange.value.becomePass(of: client) }.get()) ?? false
    }
}

extension CircularBuffer<ByteBuffer> {
    /// Adds a copy of a piece: what comes byte by byte must not take many times its size, and each piece would keep all
    /// that the socket's read brought.
    /// - Parameter expected: how many bytes may follow, this piece included.
    fileprivate mutating func add(_ piece: ByteBuffer, expecting expected: Int) {
        if let last, last.writableBytes >= piece.readableBytes {
            self[index(before: endIndex)].writeImmutableBuffer(piece)
        } else {
            let size = Swift.max(piece.readableBytes, Swift.min(expected, 16 << 20))
            var chunk = ByteBufferAllocator().buffer(capacity: size)
            chunk.writeImmutableBuffer(piece)
            append(chunk)
        }
    }
}

/// Tells an exchange when its answer's body is wanted again, or no more.
struct OriginBodyDemand: NIOAsyncSequenceProducerDelegate {
    let exchange: NIOLoopBound<OriginExchange>
    let eventLoop: any EventLoop

    func produceMore() {
        eventLoop.execute { exchange.value.resume() }
    }

    func didTerminate() {
        eventLoop.execute { exchange.value.cancel() }
    }
}
