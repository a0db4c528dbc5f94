internal import CHiredis
import Perennial
package import PerennialConnections

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// A connection to a Redis server through hiredis. Commands are sent together when the first answer is asked for.
package final class RedisConnection: BlockingConnection {
    private let context: UnsafeMutablePointer<redisContext>
    private let address: RedisAddress
    private let scripts: [RedisScript]
    private var digests: [String: String] = [:]
    /// Whether the server has forgotten the scripts.
    private var isForgotten = false
    package private(set) var isUsable = true
    /// What this connection's users have told the server once and for all.
    var told: Set<String> = []
    /// What those who have begun a batch's work leave for its end, in the same order: for which caches they asked first.
    var asked: [[String]] = []
    /// Where the caches stood when the batch began.
    var fences: [String: Result<Generation, ConnectionError>] = [:]

    /// Connects, signs in, chooses the database and brings the scripts.
    /// - Throws: ``ConnectionError``, which names no password.
    package init(_ address: RedisAddress, scripts: [RedisScript] = []) throws(ConnectionError) {
        let time = timeval(address.timeout)
        guard let context = redisConnectWithTimeout(address.host, Int32(address.port), time) else {
            throw ConnectionError(.unreachable, "no memory for a connection to \(address.url)")
        }
        self.context = context
        self.address = address
        self.scripts = scripts
        guard context.pointee.err == 0 else {
            let reason = Self.message(context)
            redisFree(context)
            throw ConnectionError(.unreachable, "can't reach \(address.url): \(reason)")
        }
        redisSetTimeout(context, time)
        redisEnableKeepAlive(context)
        do {
            try greet()
        } catch {
            redisFree(context)
            throw error
        }
    }

    private func greet() throws(ConnectionError) {
        if let password = address.url.password {
            var command = RedisCommand("AUTH")
            if let user = address.url.user { command.add(user) }
            command.add(password)
            _ = try run(command)
        }
        if address.database != 0 { _ = try run(RedisCommand("SELECT", String(address.database))) }
        // Also tells whether the server is up to answering.
        _ = try run(RedisCommand("PING"))
        try bringScripts()
    }

    private func bringScripts() throws(ConnectionError) {
        for script in scripts { try append(RedisCommand("SCRIPT", "LOAD", script.source)) }
        for (script, reply) in zip(scripts, try replies(scripts.count)) { digests[script.name] = reply.text }
        isForgotten = false
    }

    private static func message(_ context: UnsafeMutablePointer<redisContext>) -> String {
        withUnsafeBytes(of: &context.pointee.errstr) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
    }

    package func close() {
        redisFree(context)
    }

    package func beginBatch() throws {
        asked = []
        fences = [:]
        if isForgotten { try bringScripts() }
    }

    // MARK: Asking

    /// Puts a command behind those that will be sent.
    package func append(_ command: RedisCommand) throws(ConnectionError) {
        let status = command.bytes.withUnsafeBufferPointer { bytes in
            let start = UnsafeRawPointer(bytes.baseAddress ?? UnsafePointer(bitPattern: 1)!)
                .assumingMemoryBound(to: CChar.self)
            var arguments: [UnsafePointer<CChar>?] = []
            var lengths: [Int] = []
            arguments.reserveCapacity(command.ends.count)
            lengths.reserveCapacity(command.ends.count)
            var begin = 0
            for end in command.ends {
                arguments.append(start + begin)
                lengths.append(end - begin)
                begin = end
            }
            return redisAppendCommandArgv(context, Int32(arguments.count), &arguments, &lengths)
        }
        if status != REDIS_OK { throw broken() }
    }

    /// Puts the call of a script that was brought behind those that will be sent.
    package func append(_ script: RedisScript, keys: [String], _ arguments: RedisCommand) throws(ConnectionError) {
        guard let digest = digests[script.name] else {
            throw ConnectionError(.refused, "the script \(script.name) was not brought to \(address.url)")
        }
        var command = RedisCommand("EVALSHA", digest, String(keys.count))
        for key in keys { command.add(key) }
        command.add(all: arguments)
        try append(command)
    }

    /// The answer to the first command that has none yet.
    /// - Throws: ``ConnectionError`` when the connection is broken, or the server refuses.
    package func reply() throws(ConnectionError) -> RedisReply {
        var pointer: UnsafeMutableRawPointer?
        guard redisGetReply(context, &pointer) == REDIS_OK, let pointer else { throw broken() }
        defer { freeReplyObject(pointer) }
        let reply = RedisReply(UnsafePointer(pointer.assumingMemoryBound(to: redisReply.self)))
        if case .error(let text) = reply { throw refusal(text) }
        return reply
    }

    /// One command, by itself.
    package func run(_ command: RedisCommand) throws(ConnectionError) -> RedisReply {
        try append(command)
        return try reply()
    }

    /// What the server has sent by itself, waiting for it at most `timeout`; `nil`: nothing.
    package func nextPush(timeout: Duration) throws(ConnectionError) -> RedisReply? {
        if let reply = try bufferedReply() { return reply }
        var file = pollfd(fd: context.pointee.fd, events: Int16(POLLIN), revents: 0)
        guard poll(&file, 1, Int32(timeout / .milliseconds(1))) > 0 else { return nil }
        guard redisBufferRead(context) == REDIS_OK else { throw broken() }
        return try bufferedReply()
    }

    private func bufferedReply() throws(ConnectionError) -> RedisReply? {
        var pointer: UnsafeMutableRawPointer?
        guard redisGetReplyFromReader(context, &pointer) == REDIS_OK else { throw broken() }
        guard let pointer else { return nil }
        defer { freeReplyObject(pointer) }
        return RedisReply(UnsafePointer(pointer.assumingMemoryBound(to: redisReply.self)))
    }

    /// Sends what was put behind, without waiting for answers.
    package func flush() throws(ConnectionError) {
        var isDone: Int32 = 0
        while isDone == 0 {
            guard redisBufferWrite(context, &isDone) == REDIS_OK else { throw broken() }
        }
    }

    // MARK: The server

    /// The name of what the server does when it is full (`maxmemory-policy`), where that may take more than entries;
    /// `nil`: it does not, or does not say.
    package func harmfulPolicy() throws(ConnectionError) -> String? {
        do {
            let policy = RedisInfo(try run(RedisCommand("INFO", "memory")))["maxmemory_policy"] ?? ""
            return policy.hasPrefix("allkeys-") ? policy : nil
        } catch {
            if !isUsable { throw error }
            // Not every user may ask.
            return nil
        }
    }

    // MARK: Errors

    private func broken() -> ConnectionError {
        isUsable = false
        let code = errno
        if context.pointee.err == REDIS_ERR_IO, code == EAGAIN || code == EWOULDBLOCK || code == ETIMEDOUT {
            return ConnectionError(
                .timedOut, "\(address.url) did not answer within \(address.timeout / .seconds(1)) s")
        }
        return ConnectionError(.lost, "the connection to \(address.url) broke: \(Self.message(context))")
    }

    private func refusal(_ text: String) -> ConnectionError {
        func says(_ code: String) -> Bool { text.hasPrefix(code) || text.contains("-\(code)") }
        let server = address.url
        if text.hasPrefix("NOSCRIPT") {
            // The next batch brings them again.
            isForgotten = true
            return ConnectionError(.notDone, "\(server) has forgotten the scripts")
        }
        if says("WRONGTYPE") {
            return ConnectionError(
                .otherType,
                "\(server): something of another type lies where Perennial keeps what it knows of a cache; delete it, or choose"
                    + " another prefix (\(text))")
        }
        if says("READONLY") || says("LOADING") || says("MASTERDOWN") {
            // Another connection may find the server that has taken over.
            isUsable = false
            return ConnectionError(
                .unreachable,
                "\(server) takes no writes now: a replica, or loading (\(text)); name the primary, or wait for it")
        }
        if says("MOVED") || says("ASK") || says("CROSSSLOT") {
            return ConnectionError(
                .refused,
                "\(server) is a node of a cluster and sends elsewhere (\(text)); a cluster of one node works, or a proxy that"
                    + " hides the others")
        }
        if says("CLUSTERDOWN") {
            return ConnectionError(
                .refused, "\(server) is a node of a cluster that is down (\(text)); see CLUSTER INFO")
        }
        if says("OOM") {
            return ConnectionError(
                .refused, "\(server) is out of memory; raise maxmemory, or let it evict: maxmemory-policy volatile-lru")
        }
        if says("MISCONF") {
            return ConnectionError(.refused, "\(server) can't write to its disk and takes no writes: \(text)")
        }
        if says("NOPERM") {
            return ConnectionError(
                .refused,
                "\(server): this user lacks a right (\(text)); give it all keys, channels and commands but those of operators:"
                    + " ACL SETUSER NAME ~* &* +@all -@admin")
        }
        if says("NOAUTH") || says("WRONGPASS") || text.contains("invalid password")
            || text.contains("without any password configured")
        {
            return ConnectionError(
                .refused,
                "\(server) does not let this user in; look at the user and the password of the address (\(text))")
        }
        return ConnectionError(.refused, "\(server): \(text)")
    }
}

extension timeval {
    fileprivate init(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        self.init(tv_sec: Int(seconds), tv_usec: .init(attoseconds / 1_000_000_000_000))
    }
}
