internal import NIOCore

/// The body of a client's request on its way to the origin, read from the client no faster than the origin takes it.
struct RequestBody: AsyncSequence, Sendable {
    typealias Strategy = NIOAsyncSequenceProducerBackPressureStrategies.HighLowWatermark
    typealias Producer = NIOThrowingAsyncSequenceProducer<ByteBuffer, any Error, Strategy, RequestBodyDemand>

    /// As announced; `nil`: it comes in chunks.
    let length: Int64?
    fileprivate let pieces: Producer

    func makeAsyncIterator() -> Producer.AsyncIterator {
        pieces.makeAsyncIterator()
    }

    /// A body and where its pieces are put.
    static func make(length: Int64?, demand: RequestBodyDemand) -> (body: RequestBody, source: Producer.Source) {
        // A piece is what one read from the socket brought; a few of them keep both sides busy.
        let producer = Producer.makeSequence(
            elementType: ByteBuffer.self, failureType: (any Error).self,
            backPressureStrategy: Strategy(lowWatermark: 1, highWatermark: 4), finishOnDeinit: true, delegate: demand)
        return (RequestBody(length: length, pieces: producer.sequence), producer.source)
    }
}

/// Tells a connection when its request's body is wanted again, or no more.
struct RequestBodyDemand: NIOAsyncSequenceProducerDelegate {
    let eventLoop: any EventLoop
    let connection: NIOLoopBound<ConnectionHandler>

    func produceMore() {
        eventLoop.execute { connection.value.bodyIsWanted() }
    }

    func didTerminate() {
        // What still comes is read and dropped.
        eventLoop.execute { connection.value.bodyIsWanted() }
    }
}

/// The client went away before its request's body was complete.
struct RequestBroken: Error {}
