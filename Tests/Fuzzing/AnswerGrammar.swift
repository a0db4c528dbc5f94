/// Makes answers of an origin: right ones, odd ones and broken ones. The connection ends behind each.
public struct AnswerGrammar: Sendable {
    private var dice: Dice

    public init(seed: UInt64) {
        dice = Dice(seed: seed)
    }

    public mutating func answer() -> [UInt8] {
        let interim =
            dice.once(in: 8)
            ? "HTTP/1.1 \(dice.pick(["100 Continue", "103 Early Hints", "199 X"]))\r\n\(line())\r\n" : ""
        var head = "\(dice.pick(Self.versions)) \(dice.pick(Self.statuses))\r\n"
        for _ in 0..<dice.below(4) { head += line() }
        let body = dice.pick(["", "a", "abcde", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"])
        var content = body
        switch dice.below(6) {
        case 0, 1: head += "Content-Length: \(body.utf8.count)\r\n"
        case 2, 3:
            head += "Transfer-Encoding: chunked\r\n"
            let first = body.isEmpty ? "" : "\(String(body.utf8.count, radix: 16))\r\n\(body)\r\n"
            content = "\(first)0\r\n\(dice.once(in: 4) ? line() : "")\r\n"
        case 4: head += dice.pick(Self.framings)
        default: break
        }
        var bytes = Array((interim + head + "\r\n" + content).utf8)
        if dice.once(in: 2) { dice.mutate(&bytes) }
        return bytes
    }

    private mutating func line() -> String { dice.pick(Self.lines) }

    private static let versions = [
        "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/0.9", "ICY", "RTSP/1.0",
    ]
    private static let statuses = [
        "200 OK", "200 OK", "200 OK", "200", "204 No Content", "304 Not Modified", "404 Not Found", "500 Oh",
        "101 Upgrade", "100 C",
        "000 X", "099 X", "999 X", "206 Part", "1000 X", "20 X", "-20 X",
    ]
    private static let framings = [
        "Content-Length: 5\r\nContent-Length: 6\r\n", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip\r\n", "Transfer-Encoding: gzip, chunked\r\n", "Content-Length: -1\r\n",
        "Content-Length: 99999999999999999999\r\n", "Content-Length: 9223372036854775807\r\n",
        "Transfer-Encoding: identity\r\n",
    ]
    private static let lines = [
        "Cache-Control: max-age=60\r\n", "ETag: \"a\"\r\n", "Vary: Accept\r\n", "Connection: close\r\n",
        "Connection: Content-Length\r\n",
        "Connection: upgrade\r\nUpgrade: x\r\n", "X: a\0b\r\n", "X: a\rb\r\n", "X : a\r\n", "X: a\r\n b\r\n", ": a\r\n",
        "Age: -5\r\n",
        "Date: never\r\n", "Keep-Alive: timeout=5\r\n", "Location: /\r\n", "Set-Cookie: a=b\r\n", "X: ü\r\n", "X: a\n",
    ]
}
