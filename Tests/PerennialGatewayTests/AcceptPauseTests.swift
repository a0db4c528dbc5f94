import Foundation
import Logging
import NIOCore
import NIOEmbedded
import Synchronization
import Testing

@testable import PerennialGateway

/// The listening socket when no file descriptor is left.
@Suite struct AcceptPauseTests {
    @Test func `it is said once what is missing and what to do, and again after a minute without trouble`() {
        let log = LogRecord()
        let pause = AcceptPause(logger: log.logger)
        let error = IOError(errnoCode: EMFILE, reason: "accept")
        for seconds in [0, 1, 30, 89, 150] as [Int64] {
            pause.note(error, at: NIODeadline.uptimeNanoseconds(1) + .seconds(seconds))
        }
        #expect(log.lines.count == 2)
        #expect(log.lines[0].contains("file descriptors of this process are in use"))
        #expect(log.lines[0].contains("ulimit -n"))
    }

    @Test func `after trouble the next connection is looked for a little later, and not at once`() throws {
        /// Counts what reaches the socket.
        final class Reads: ChannelOutboundHandler {
            typealias OutboundIn = Never
            var count = 0

            func read(context: ChannelHandlerContext) {
                count += 1
                context.read()
            }
        }
        let channel = EmbeddedChannel()
        let reads = Reads()
        try channel.pipeline.syncOperations.addHandler(reads)
        try channel.pipeline.syncOperations.addHandler(AcceptPause(.hours(1), logger: LogRecord().logger).handler())
        channel.read()
        #expect(reads.count == 1)
        channel.pipeline.fireErrorCaught(IOError(errnoCode: EMFILE, reason: "accept"))
        channel.read()
        channel.read()
        #expect(reads.count == 1)
    }
}
