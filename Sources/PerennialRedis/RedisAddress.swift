package import PerennialConnections

/// Where a Redis server is, and how to talk to it, from `redis://USER:PASSWORD@HOST:PORT/DATABASE?timeout=SECONDS`.
package struct RedisAddress: Sendable {
    package let url: EngineURL
    package let host: String
    package let port: Int
    package let database: Int
    /// How long connecting, and one call, may take. Default: 1 second.
    package let timeout: Duration

    /// - Parameter options: the names that the URL may have besides `timeout`.
    /// - Throws: ``EngineURLError``.
    package init(_ url: EngineURL, options: [String]) throws(EngineURLError) {
        guard !url.scheme.hasSuffix("rediss") else {
            throw EngineURLError(
                "\(url): the installed hiredis has no TLS (that needs 1.0 or later); go through a tunnel, such as stunnel, and"
                    + " write redis://")
        }
        self.url = url
        (host, port) = try url.hostAndPort(defaultPort: 6379)
        guard let database = url.path.isEmpty ? 0 : Int(url.path), (0...1_000_000).contains(database) else {
            throw EngineURLError("\(url): “\(url.path)” is no database; write its number, like redis://HOST/0")
        }
        self.database = database
        try url.checkOptions(options + ["timeout"])
        timeout = try url.seconds("timeout") ?? .seconds(1)
    }
}
