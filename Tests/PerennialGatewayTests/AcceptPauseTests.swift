import Foundation
import Logging
import NIOCore
import NIOEmbedded
import Synchronization
import Testing

@testable import PerennialGateway

/// The listening socket when no file descriptor is left.
@Suite struct AcceptPauseTests {
    private final class Lines: Sendable {
        let all = Mutex<[String]>([])
        var logger: Logger { Logger(label: "test") { [self] _ in Handler(lines: self) } }

        private struct Handler: LogHandler {
            let lines: Lines
            var metadata: Logger.Metadata = [:]
            var logLevel: Logger.Level = .trace

            subscript(metadataKey key: String) -> Logger.Metadata.Value? {
                get { metadata[key] }
                set { metadata[key] = newValue }
            }

            func log(event: LogEvent) { lines.all.withLock { $0.append("\(event.message)") } }
        }
    }

    @Test func `it is said once what is missing and what to do, and again after a minute without trouble`() {
        let lines = Lines()
        let pause = AcceptPause(logger: lines.logger)
        let error = IOError(errnoCode: EMFILE, reason: "accept")
        for seconds in [0, 1, 30, 89, 150] as [Int64] {
            pause.note(error, at: NIODeadline.uptimeNanoseconds(1) + .seconds(seconds))
        }
        #expect(lines.all.withLock { $0.count } == 2)
        #expect(lines.all.withLock { $0[0] }.contains("file descriptors of this process are in use"))
        #expect(lines.all.withLock { $0[0] }.contains("ulimit -n"))
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
        try channel.pipeline.syncOperations.addHandler(AcceptPause(.hours(1), logger: Lines().logger).handler())
        channel.read()
        #expect(reads.count == 1)
        channel.pipeline.fireErrorCaught(IOError(errnoCode: EMFILE, reason: "accept"))
        channel.read()
        channel.read()
        #expect(reads.count == 1)
    }
}
