internal import CPostgres
import PerennialConnections

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// A prepared statement: its name on the server and its text.
struct Statement: Sendable {
    let name: String
    let sql: String
}

/// A connection to a PostgreSQL server through libpq, in pipeline mode: all that is sent until the first answer is asked for goes
/// out together and is one transaction.
final class PostgresConnection: BlockingConnection {
    static var isAtomic: Bool { true }

    private let connection: OpaquePointer
    private let address: PostgresAddress
    private let patience: Duration
    /// Whether the end of what was sent has been sent, and whether its answer is still to be taken.
    private var isSynced = true
    private var mustTakeSync = false
    private(set) var isUsable = true
    /// Whether something between here and the server shares its connections out.
    private var hasPooler = false
    /// Where the caches stood when the batch began, and which of them each reader of the batch asks for.
    var fences: [String: Int64] = [:]
    var asked: [[String]] = []

    /// Connects, and makes or updates the tables if they are not there.
    /// - Parameters:
    ///   - patience: how long one call may take; default: the address's time-out.
    ///   - readsTags: whether entries are looked for by tag.
    ///   - isListener: whether only notifications are taken, and no statements are prepared.
    /// - Throws: ``ConnectionError``, which names no password.
    init(_ address: PostgresAddress, patience: Duration? = nil, readsTags: Bool = false, isListener: Bool = false)
        throws(ConnectionError)
    {
        self.address = address
        self.patience = patience ?? address.timeout
        let settings = [
            ("dbname", address.url.unredacted), ("fallback_application_name", "perennial"), ("client_encoding", "UTF8"),
            ("connect_timeout", String(max(2, Int(address.timeout / .seconds(1))))), ("keepalives_idle", "15"),
        ]
        var keywords = settings.map { strdup($0.0).map { UnsafePointer($0) } } + [nil]
        var values = settings.map { strdup($0.1).map { UnsafePointer($0) } } + [nil]
        defer {
            for text in keywords + values { free(UnsafeMutablePointer(mutating: text)) }
        }
        guard let connection = PQconnectStartParams(&keywords, &values, 1) else {
            throw ConnectionError(.unreachable, "no memory for a connection to \(address.url)")
        }
        self.connection = connection
        do throws(ConnectionError) {
            try finishConnecting(by: .now + address.timeout)
            // Warnings of the server are for its own log.
            PQsetNoticeReceiver(connection, { _, _ in }, nil)
            try command(
                "SET search_path TO \(address.schema); SET standard_conforming_strings = on; SET statement_timeout = \(Int(self.patience / .milliseconds(1)));"
                    + " SET lock_timeout = \(max(1, Int(self.patience / .milliseconds(2)))); SET idle_in_transaction_session_timeout = '60s';"
                    // Every statement has its index, but the planner of a table that was empty a moment ago would read all of it,
                    // or, by bitmap, every dead row of the index. Only tags need bitmaps. Likewise a join with the few rows that a
                    // statement is about: the planner does not know that a limit is small, and would read the whole other table.
                    + " SET enable_seqscan = off; SET enable_bitmapscan = \(readsTags ? "on" : "off"); SET jit = off"
                    + (readsTags ? "" : "; SET enable_hashjoin = off; SET enable_mergejoin = off")
            )
            // A pooler makes up its own number.
            hasPooler = try text("SELECT pg_backend_pid()::text") != String(PQbackendPID(connection))
            if !isListener {
                try Schema.migrate(self, address)
                for statement in Statements.all { try prepare(statement) }
                guard PQenterPipelineMode(connection) == 1, PQsetnonblocking(connection, 1) == 0 else { throw broken() }
            }
        } catch {
            PQfinish(connection)
            throw error
        }
    }

    private func finishConnecting(by deadline: ContinuousClock.Instant) throws(ConnectionError) {
        var wanted = Int16(POLLOUT)
        while true {
            guard PQstatus(connection) != CONNECTION_BAD else { break }
            guard waitFor(wanted, until: deadline) else {
                throw ConnectionError(
                    .timedOut, "\(address.url) did not answer within \(address.timeout / .seconds(1)) s")
            }
            switch PQconnectPoll(connection) {
            case PGRES_POLLING_OK: return
            case PGRES_POLLING_READING: wanted = Int16(POLLIN)
            case PGRES_POLLING_WRITING: wanted = Int16(POLLOUT)
            case PGRES_POLLING_FAILED where hasNoFreeConnection: throw noFreeConnection
            default:
                let text = message
                let isRefused =
                    text.contains("password") || text.contains("authentication") || text.contains("does not exist")
                throw ConnectionError(isRefused ? .refused : .unreachable, "can't reach \(address.url): \(text)")
            }
        }
        throw hasNoFreeConnection
            ? noFreeConnection : ConnectionError(.unreachable, "can't reach \(address.url): \(message)")
    }

    /// The server says so in words alone while a connection is made.
    private var hasNoFreeConnection: Bool {
        message.contains("too many clients") || message.contains("connection slots")
    }

    private var noFreeConnection: ConnectionError {
        ConnectionError(
            .refused,
            "\(address.url) has no free connection, and a process needs seven: raise max_connections, end others, or put a pooler in"
                + " session mode in between (\(message))")
    }

    func close() {
        PQfinish(connection)
    }

    /// What libpq says is wrong, on one line.
    private var message: String {
        String(cString: PQerrorMessage(connection)).split(whereSeparator: \.isNewline).joined(separator: " ")
    }

    // MARK: Simple commands, while the connection is made

    /// Runs commands without values, and takes no answers.
    func command(_ sql: String, patience: Duration? = nil) throws(ConnectionError) {
        guard PQsendQuery(connection, sql) == 1 else { throw broken() }
        let deadline = ContinuousClock.now + (patience ?? self.patience)
        var failure: ConnectionError?
        while let result = try nextResult(by: deadline) {
            defer { PQclear(result) }
            if PQresultStatus(result) == PGRES_FATAL_ERROR { failure = failure ?? refusal(result) }
        }
        if let failure { throw failure }
    }

    /// The first column of the first row as text; `nil`: there is none.
    func text(_ sql: String) throws(ConnectionError) -> String? {
        guard PQsendQuery(connection, sql) == 1 else { throw broken() }
        let deadline = ContinuousClock.now + patience
        var found: String?
        var failure: ConnectionError?
        while let result = try nextResult(by: deadline) {
            defer { PQclear(result) }
            if PQresultStatus(result) == PGRES_FATAL_ERROR { failure = failure ?? refusal(result) }
            if PQntuples(result) > 0, PQgetisnull(result, 0, 0) == 0 {
                found = String(cString: PQgetvalue(result, 0, 0))
            }
        }
        if let failure { throw failure }
        return found
    }

    // MARK: Statements

    func beginBatch() {
        fences = [:]
        asked = []
    }

    /// Sends a statement, with the others of the batch.
    func send(_ statement: Statement, _ parameters: Parameters) throws(ConnectionError) {
        let status = parameters.bytes.withUnsafeBufferPointer { bytes in
            let start = UnsafeRawPointer(bytes.baseAddress ?? UnsafePointer(bitPattern: 1)!)
                .assumingMemoryBound(to: CChar.self)
            let values = parameters.ranges.map { range in range.map { start + $0.lowerBound } }
            let lengths = parameters.ranges.map { Int32($0?.count ?? 0) }
            let formats = parameters.ranges.map { _ in Int32(1) }
            return PQsendQueryPrepared(
                connection, statement.name, Int32(values.count), values, lengths, formats, 1)
        }
        guard status == 1 else { throw broken() }
        isSynced = false
    }

    private func prepare(_ statement: Statement) throws(ConnectionError) {
        guard PQsendPrepare(connection, statement.name, statement.sql, 0, nil) == 1 else { throw broken() }
        let deadline = ContinuousClock.now + patience
        var failure: ConnectionError?
        while let result = try nextResult(by: deadline) {
            defer { PQclear(result) }
            if PQresultStatus(result) == PGRES_FATAL_ERROR { failure = failure ?? refusal(result) }
        }
        if let failure { throw failure }
    }

    /// The answer to the first statement that has none yet.
    func rows() throws(ConnectionError) -> Rows {
        try sync()
        return try oneAnswer(by: .now + patience)
    }

    /// Sends the end of the batch, once.
    private func sync() throws(ConnectionError) {
        if isSynced { return }
        guard PQpipelineSync(connection) == 1 else { throw broken() }
        isSynced = true
        mustTakeSync = true
    }

    /// Commits; until then nothing that was answered is sure.
    func endBatch() throws {
        try sync()
        if let failure = try takeSync() { throw failure }
    }

    func abandonBatch() {
        do {
            try sync()
            _ = try takeSync()
        } catch {
            isUsable = false
        }
    }

    /// Takes all answers up to the end of the batch; the first refusal among them.
    private func takeSync() throws(ConnectionError) -> ConnectionError? {
        guard mustTakeSync else { return nil }
        mustTakeSync = false
        let deadline = ContinuousClock.now + patience
        var failure: ConnectionError?
        var pauses = 0
        while true {
            guard let result = try nextResult(by: deadline) else {
                // Between the answers to two statements there is nothing, once.
                pauses += 1
                if pauses > 2 { throw broken() }
                continue
            }
            pauses = 0
            defer { PQclear(result) }
            switch PQresultStatus(result) {
            case PGRES_PIPELINE_SYNC: return failure
            case PGRES_FATAL_ERROR: failure = failure ?? refusal(result)
            default: break
            }
        }
    }

    private func oneAnswer(by deadline: ContinuousClock.Instant) throws(ConnectionError) -> Rows {
        guard let result = try nextResult(by: deadline) else { throw broken() }
        switch PQresultStatus(result) {
        case PGRES_TUPLES_OK, PGRES_COMMAND_OK:
            let rows = Rows(result)
            // The nothing behind it.
            if let extra = try nextResult(by: deadline) { PQclear(extra) }
            return rows
        case PGRES_PIPELINE_ABORTED:
            PQclear(result)
            throw ConnectionError(.refused, "\(address.url): another statement of the same transaction failed")
        default:
            defer { PQclear(result) }
            throw refusal(result)
        }
    }

    private func nextResult(by deadline: ContinuousClock.Instant) throws(ConnectionError) -> OpaquePointer? {
        while true {
            let unsent = PQflush(connection)
            guard unsent >= 0 else { throw broken() }
            if unsent == 0, PQisBusy(connection) == 0 { return PQgetResult(connection) }
            let wanted = Int16(POLLIN) | (unsent > 0 ? Int16(POLLOUT) : 0)
            guard waitFor(wanted, until: deadline) else {
                isUsable = false
                throw ConnectionError(.timedOut, "\(address.url) did not answer within \(patience / .seconds(1)) s")
            }
            guard PQconsumeInput(connection) == 1 else { throw broken() }
        }
    }

    private func waitFor(_ events: Int16, until deadline: ContinuousClock.Instant) -> Bool {
        var file = pollfd(fd: PQsocket(connection), events: events, revents: 0)
        while true {
            let left = deadline - .now
            if left <= .zero { return false }
            let count = poll(&file, 1, Int32(max(1, left / .milliseconds(1))))
            if count > 0 { return true }
            if count < 0, errno != EINTR { return true }
        }
    }

    // MARK: Listening

    struct Notification {
        let channel: String
        let payload: [UInt8]
    }

    /// What the server has told, waiting for it at most `timeout`.
    func notifications(timeout: Duration) throws(ConnectionError) -> [Notification] {
        var found = takeNotifications()
        if !found.isEmpty { return found }
        if waitFor(Int16(POLLIN), until: .now + timeout) {
            guard PQconsumeInput(connection) == 1 else { throw broken() }
            found = takeNotifications()
        }
        return found
    }

    private func takeNotifications() -> [Notification] {
        var found: [Notification] = []
        while let notification = PQnotifies(connection) {
            let payload = UnsafeRawPointer(notification.pointee.extra!).assumingMemoryBound(to: UInt8.self)
            found.append(
                Notification(
                    channel: String(cString: notification.pointee.relname),
                    payload: Array(UnsafeBufferPointer(start: payload, count: strlen(notification.pointee.extra)))))
            PQfreemem(notification)
        }
        return found
    }

    // MARK: Errors

    private func broken() -> ConnectionError {
        isUsable = false
        return ConnectionError(.lost, "the connection to \(address.url) broke: \(message)")
    }

    private var poolerInBetween: ConnectionError {
        ConnectionError(
            .refused,
            "\(address.url): settings and prepared statements get lost, so a pooler in transaction mode is in between; connect to the server"
                + " itself, or use session mode")
    }

    private func refusal(_ result: OpaquePointer) -> ConnectionError {
        func field(_ letter: Unicode.Scalar) -> String {
            PQresultErrorField(result, Int32(UInt8(ascii: letter))).map { String(cString: $0) } ?? ""
        }
        let (state, text) = (field("C"), field("M"))
        let server = "\(address.url)"
        if PQstatus(connection) == CONNECTION_BAD { isUsable = false }
        switch state {
        case "57P01", "57P02", "57P03":
            // The server is stopping; another connection may find the one that has taken over.
            isUsable = false
            return ConnectionError(.lost, "\(server) is stopping or starting: \(text)")
        case "25006":
            isUsable = false
            return ConnectionError(
                .refused,
                "\(server) takes no writes: it is read-only, or a standby; name the primary (target_session_attrs=read-write)"
            )
        case "57014":
            return ConnectionError(.timedOut, "\(server) took longer than \(patience / .seconds(1)) s: \(text)")
        case "55P03", "40P01", "40001":
            return ConnectionError(.refused, "\(server): others hold what this needs: \(text)")
        case "53100": return ConnectionError(.refused, "\(server) has no room on its disk: \(text)")
        case "53200": return ConnectionError(.refused, "\(server) is out of memory: \(text)")
        case "53300":
            isUsable = false
            return ConnectionError(.unreachable, "\(server) has too many connections; a process needs seven: \(text)")
        case "42501":
            return ConnectionError(
                .refused,
                "\(server): this user lacks a right: \(text); let it make the schema once (GRANT CREATE ON DATABASE … TO …), or make it"
                    + " the owner of the schema \(address.schema) and of all that is in it")
        case "26000", "42P05":
            isUsable = false
            return poolerInBetween
        case "3F000", "42P01", "42883":
            // Somebody has dropped the tables: the next connection makes them anew.
            isUsable = false
            if hasPooler { return poolerInBetween }
            return ConnectionError(.lost, "\(server): the tables of the schema \(address.schema) are gone: \(text)")
        case "54000":
            return ConnectionError(
                .notStorable, "\(server): a key or tag of more than 2.7 kB, or too large a row: \(text)")
        case _ where state.hasPrefix("22"):
            return ConnectionError(.notStorable, "\(server): its database can't hold such a text: \(text)")
        default:
            return ConnectionError(.refused, "\(server): \(text) (\(state))")
        }
    }
}
