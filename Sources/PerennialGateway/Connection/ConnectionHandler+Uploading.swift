// Bodies of requests that come too slowly: their clients would hold a connection to the origin for as long as they
// like.

internal import NIOCore
internal import PerennialHTTP

extension ConnectionHandler {
    /// The body of the exchange's request begins to come.
    func beginUpload() {
        guard service.minUploadRate > 0 else { return }
        exchange?.uploadRate = UploadRate(least: service.minUploadRate, now: loop.eventLoop.now)
        watchUpload()
    }

    /// Looks again when the client would be too slow if it sent nothing more.
    func watchUpload() {
        uploadTimer?.cancel()
        uploadTimer = nil
        guard let left = exchange?.uploadRate?.timeLeft(loop.eventLoop.now) else { return }
        let number = exchanges
        uploadTimer = loop.eventLoop.assumeIsolated().scheduleTask(in: max(left, .milliseconds(1))) {
            self.uploadTimer = nil
            self.checkUpload(number)
        }
    }

    func endUpload() {
        exchange?.uploadRate = nil
        uploadTimer?.cancel()
        uploadTimer = nil
    }

    private func checkUpload(_ number: Int) {
        guard let exchange, exchange.number == number, !exchange.answerHasBegun, context != nil else { return }
        guard let left = exchange.uploadRate?.timeLeft(loop.eventLoop.now), left <= .zero else { return watchUpload() }
        breakOff(RequestSyntaxError(408, "The request's body comes too slowly."), detail: "request-timeout")
    }
}
