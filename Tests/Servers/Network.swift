import Foundation
import Synchronization

/// A stretch of network before a server, which can be cut: then nothing gets through, and nobody is told. It can also lead to another
/// server from some moment on, as an address that moves does.
public final class Network: Sendable {
    public let port: Int
    private let listener: Int32
    private let status: Mutex<Status>

    private struct Status {
        var target: Int
        var isCut = false
        var isOver = false
    }

    /// - Parameter target: the server's port.
    public init(to target: Int) throws {
        status = Mutex(Status(target: target))
        let port = sparePort()
        self.port = port
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var yes: Int32 = 1
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        let isBound = withLoopback(port) { bind(listener, $0, $1) == 0 }
        guard isBound, listen(listener, 100) == 0 else { throw ServerFailure("can't listen on port \(port)") }
        let socket = listener
        Thread.detachNewThread { [self] in
            while true {
                let client = accept(socket, nil, nil)
                if client < 0 || status.withLock({ $0.isOver }) { return }
                Thread.detachNewThread { [self] in carry(client) }
            }
        }
    }

    public func cut() { status.withLock { $0.isCut = true } }
    public func mend() { status.withLock { $0.isCut = false } }

    /// New connections go to another server; those that are open stay.
    /// - Parameter target: that one's port.
    public func lead(to target: Int) { status.withLock { $0.target = target } }

    /// Ends all connections, and takes no more.
    public func close() {
        status.withLock { $0.isOver = true }
        shutdown(listener, Int32(SHUT_RDWR))
        Foundation.close(listener)
    }

    private func carry(_ client: Int32) {
        let server = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer {
            Foundation.close(client)
            Foundation.close(server)
        }
        guard withLoopback(status.withLock({ $0.target }), { connect(server, $0, $1) == 0 }) else { return }
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let (isCut, isOver) = status.withLock { ($0.isCut, $0.isOver) }
            if isOver { return }
            if isCut {
                usleep(10_000)
                continue
            }
            var files = [
                pollfd(fd: client, events: Int16(POLLIN), revents: 0),
                pollfd(fd: server, events: Int16(POLLIN), revents: 0),
            ]
            if poll(&files, 2, 50) <= 0 { continue }
            // What came in the moment of the cut waits with the rest.
            if status.withLock({ $0.isCut }) { continue }
            for (from, to) in [(0, server), (1, client)] where files[from].revents != 0 {
                let count = recv(files[from].fd, &buffer, buffer.count, 0)
                guard count > 0, sendAll(to, buffer[..<count]) else { return }
            }
        }
    }

    private func sendAll(_ socket: Int32, _ bytes: ArraySlice<UInt8>) -> Bool {
        var rest = bytes
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }
}

private func withLoopback<Result>(_ port: Int, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    address.sin_port = UInt16(port).bigEndian
    return withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
    }
}
