import Fuzzing
import Perennial
import PerennialHTTP
import PerennialTesting
import Testing

/// A short run of what `fuzz` does for long.
@Suite struct FuzzTests {
    @Test(arguments: [1, 2, 3] as [UInt64]) func `every request that is taken has one meaning`(seed: UInt64) throws {
        var fuzzer = RequestFuzzer(seed: seed)
        for _ in 0..<3_000 { try fuzzer.tryOne() }
        #expect(fuzzer.taken > 300)
    }

    /// Who asks for a connection that ends and for one that stays gets the one that ends (RFC 9112 §9.3).
    @Test(
        arguments: ["1.0", "1.1"], ["close\r\nConnection: keep-alive", "keep-alive, close", "keep-alive", "x", "close"])
    func `what was found about connections that stay has one meaning`(_ version: String, _ wish: String) throws {
        var fuzzer = RequestFuzzer(seed: 1)
        let request = "GET / HTTP/\(version)\r\nHost: x\r\nConnection: \(wish)\r\n\r\n"
        try fuzzer.check(Array((request + request).utf8))
        let stays = wish == "keep-alive" || wish == "x" && version == "1.1"
        #expect(fuzzer.taken == (stays ? 2 : 1))
    }

    @Test(arguments: [1, 2, 3] as [UInt64]) func `what is read and written stays the same`(seed: UInt64) throws {
        var fuzzer = FieldFuzzer(seed: seed)
        for _ in 0..<5_000 { try fuzzer.tryOne() }
    }

    @Test(arguments: [1, 2] as [UInt64])
    func `whatever an origin answers, its readers get one answer with one end, or a broken connection`(seed: UInt64)
        async throws
    {
        var grammar = AnswerGrammar(seed: seed)
        let answers = (0..<300).map { _ in grammar.answer() }
        try await withRig(origin: { .bytes(answers[Int($0.target.dropFirst()) ?? 0], closes: true) }) { rig in
            for (number, answer) in answers.enumerated() {
                let client = try await rig.client()
                let method = number % 3 == 0 ? "POST" : "GET"
                try await client.send("\(method) /\(number) HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                var text = String(decoding: await client.rest(), as: UTF8.self)
                await client.close()
                let input = Comment(rawValue: String(decoding: answer, as: UTF8.self).debugDescription)
                // Interim answers come before the one.
                while text.hasPrefix("HTTP/1.1 1") {
                    let (head, rest) = parts(of: text)
                    #expect(ends(in: head) == 0, input)
                    #expect(!head.hasPrefix("HTTP/1.1 100") && !head.hasPrefix("HTTP/1.1 101"), input)
                    text = rest
                }
                if !text.isEmpty { #expect(text.hasPrefix("HTTP/1.1 ") && ends(in: parts(of: text).head) <= 1, input) }
                // An origin that fails often is left alone for a while.
                rig.clock.advance(by: .seconds(120))
            }
        }
    }

    private func parts(of text: String) -> (head: String, rest: String) {
        let end = text.firstRange(of: "\r\n\r\n") ?? text.endIndex..<text.endIndex
        return (String(text[..<end.lowerBound]), String(text[end.upperBound...]))
    }

    /// How many fields say where the body ends.
    private func ends(in head: String) -> Int {
        head.split(separator: "\r\n").map { $0.lowercased() }
            .count { $0.hasPrefix("content-length:") || $0.hasPrefix("transfer-encoding:") }
    }
}
