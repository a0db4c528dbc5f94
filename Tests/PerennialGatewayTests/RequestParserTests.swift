import NIOCore
import PerennialHTTP
import Testing

@testable import PerennialGateway

/// What a client sends, as events.
@Suite struct RequestParserTests {
    /// Else the time for a head would run, and end a connection that has nothing more to say.
    @Test func `a field behind a body that has come in part is no head`() throws {
        var parser = RequestParser(limits: HeadLimits(size: 1_000, fields: 10))
        parser.feed(
            ByteBuffer(string: "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-T"))
        while try parser.next() != nil {}
        #expect(!parser.isWithinHead)
        parser.feed(ByteBuffer(string: "otal: 1\r\n\r\nGET / HT"))
        var trailers: [String] = []
        while let event = try parser.next() {
            if case .end(let fields?) = event { trailers = fields.map { "\($0.name)=\($0.value)" } }
        }
        #expect(trailers == ["X-Total=1"])
        #expect(parser.isWithinHead)
    }
}
