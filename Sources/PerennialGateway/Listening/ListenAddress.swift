/// Where a gateway listens.
public struct ListenAddress: Hashable, Sendable, CustomStringConvertible {
    /// Empty for a Unix socket.
    public var host: String
    /// 0 for a Unix socket.
    public var port: Int
    /// The path of a Unix socket; `nil`: it is a port.
    public var socketPath: String?

    public init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    public init(socketPath: String) {
        (host, port, self.socketPath) = ("", 0, socketPath)
    }

    /// For example `127.0.0.1:8080`, `[::1]:8080` or `unix:/run/perennial.sock`.
    public var description: String {
        if let socketPath { return "unix:\(socketPath)" }
        return host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }
}
