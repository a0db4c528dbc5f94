internal import Logging
internal import NIOCore
internal import NIOHTTP1
internal import Perennial
internal import PerennialHTTP

// PURGE, which programs behind caches send when a page has changed.

extension Responder {
    /// Whether a request is answered by the gateway: it is a PURGE, and somebody may send one.
    func isPurge(_ request: ClientRequest) -> Bool {
        !purgers.isEmpty && request.method.rawValue == "PURGE"
    }

    /// Removes what is stored for the request's address, or makes it stale, all variants included. The answer says of
    /// how many responses.
    func purge(_ request: ClientRequest) async -> Reply {
        func own(_ status: Int, _ text: String, _ detail: String, retryAfter: Duration? = nil) -> Reply {
            .own(status, text, cacheStatus: CacheStatus(detail: detail), now: now, retryAfter: retryAfter)
        }
        guard let address = request.address, purgers.contains(where: { $0.contains(address) }) else {
            logger.notice(
                "a PURGE was refused: its client is not among those who may send one",
                metadata: ["address": "\(request.address?.ipAddress ?? "a Unix socket")", "key": "\(request.key)"])
            return own(403, "This client may not remove what is stored here.", "purge-refused")
        }
        let isSoft = asksForSoftPurge(request.fields)
        do {
            let count =
                isSoft ? try await responses.markStale(request.key) : try await responses.remove(request.key)
            let what = isSoft ? "marked" : "removed"
            return .own(
                200, "{\"\(what)\": \(count)}", cacheStatus: CacheStatus(detail: what), now: now,
                contentType: "application/json")
        } catch {
            logger.warning(
                "a PURGE could not be done in the store now; this process does as if it had been, and does it when the store is back",
                metadata: ["key": "\(request.key)", "error": "\(error)"])
            return own(
                503, "The store can't be written now. Try again in a moment.", "purge-failed", retryAfter: .seconds(1))
        }
    }
}
