/// Whether a response is one that comes piece by piece for as long as somebody listens: an event stream, lines of JSON,
/// frames of a camera, or what its origin wants passed on without delay. Such a response is neither waited for nor
/// stored.
///
/// - Parameter fields: a response's. With a `Content-Length` its end is in sight.
public func isEndless(_ fields: HeaderFields) -> Bool {
    if fields.contains("Content-Length") { return false }
    if fields.first("X-Accel-Buffering").map({ $0.trimmed.equalsIgnoringCase("no") }) == true { return true }
    guard let type = fields.first("Content-Type") else { return false }
    return endlessTypes.contains(type.prefix { $0 != ";" }.trimmed.lowercasedASCII)
}

private let endlessTypes: Set<String> = [
    "text/event-stream", "application/x-ndjson", "application/ndjson", "application/jsonl", "application/stream+json",
    "application/json-seq", "multipart/x-mixed-replace",
]
