import GRDB
import GRDBSQLite

// Statements on GRDB's connections through SQLite's own bindings: texts keep their length (a NUL does not cut them),
// and nothing is boxed on the way.

/// A value that can be bound to a parameter of a statement.
protocol Bindable {
    func bind(to statement: OpaquePointer, at index: CInt) -> CInt
}

/// SQLite copies the value before the call returns.
private let transient = unsafeBitCast(-1, to: sqlite3_destructor_type.self)

extension Int64: Bindable {
    func bind(to statement: OpaquePointer, at index: CInt) -> CInt { sqlite3_bind_int64(statement, index, self) }
}

extension Int: Bindable {
    func bind(to statement: OpaquePointer, at index: CInt) -> CInt { sqlite3_bind_int64(statement, index, Int64(self)) }
}

extension String: Bindable {
    func bind(to statement: OpaquePointer, at index: CInt) -> CInt {
        var copy = self
        return copy.withUTF8 { utf8 in
            utf8.withMemoryRebound(to: CChar.self) { text in
                // An empty string may have no address, which would be bound as NULL.
                guard let address = text.baseAddress else {
                    return sqlite3_bind_text(statement, index, "", 0, transient)
                }
                return sqlite3_bind_text64(
                    statement, index, address, UInt64(text.count), transient, UInt8(SQLITE_UTF8))
            }
        }
    }
}

extension [UInt8]: Bindable {
    func bind(to statement: OpaquePointer, at index: CInt) -> CInt {
        if isEmpty { return sqlite3_bind_zeroblob(statement, index, 0) }
        return withUnsafeBytes {
            sqlite3_bind_blob64(statement, index, $0.baseAddress, UInt64($0.count), transient)
        }
    }
}

extension Optional: Bindable where Wrapped: Bindable {
    func bind(to statement: OpaquePointer, at index: CInt) -> CInt {
        if let self { self.bind(to: statement, at: index) } else { sqlite3_bind_null(statement, index) }
    }
}

/// The columns of the row that a statement stands on. Valid within the closure that got it.
struct Columns {
    fileprivate let statement: OpaquePointer

    /// How many there are.
    var count: CInt { sqlite3_column_count(statement) }

    func isNull(_ index: CInt) -> Bool { sqlite3_column_type(statement, index) == SQLITE_NULL }

    func integer(_ index: CInt) -> Int64 { sqlite3_column_int64(statement, index) }

    func optionalInteger(_ index: CInt) -> Int64? { isNull(index) ? nil : integer(index) }

    func text(_ index: CInt) -> String {
        guard let address = sqlite3_column_text(statement, index) else { return "" }
        let count = Int(sqlite3_column_bytes(statement, index))
        return String(decoding: UnsafeBufferPointer(start: address, count: count), as: UTF8.self)
    }

    func optionalText(_ index: CInt) -> String? { isNull(index) ? nil : text(index) }

    func bytes(_ index: CInt) -> [UInt8] {
        guard let address = sqlite3_column_blob(statement, index) else { return [] }
        return Array(UnsafeRawBufferPointer(start: address, count: Int(sqlite3_column_bytes(statement, index))))
    }
}

extension Database {
    /// Runs a statement that returns no rows.
    /// - Returns: how many rows it changed.
    @discardableResult
    func run<each Value: Bindable>(_ sql: String, _ values: repeat each Value) throws -> Int {
        try forEach(sql, repeat each values) { _ in }
        return Int(sqlite3_changes(sqliteConnection))
    }

    /// The first row, if there is one.
    func first<Result, each Value: Bindable>(
        _ sql: String, _ values: repeat each Value, read: (Columns) throws -> Result
    ) throws -> Result? {
        try withStatement(sql, repeat each values) { statement in
            switch sqlite3_step(statement) {
            case SQLITE_ROW: try read(Columns(statement: statement))
            case SQLITE_DONE: nil
            case let code: throw failure(code)
            }
        }
    }

    func forEach<each Value: Bindable>(
        _ sql: String, _ values: repeat each Value, body: (Columns) throws -> Void
    ) throws {
        try withStatement(sql, repeat each values) { statement in
            while true {
                switch sqlite3_step(statement) {
                case SQLITE_ROW: try body(Columns(statement: statement))
                case SQLITE_DONE: return
                case let code: throw failure(code)
                }
            }
        }
    }

    private func withStatement<Result, each Value: Bindable>(
        _ sql: String, _ values: repeat each Value, body: (OpaquePointer) throws -> Result
    ) throws -> Result {
        let statement = try cachedStatement(sql: sql).sqliteStatement
        defer {
            // Bindings are cleared so that a big value's copy does not live on with the cached statement.
            sqlite3_reset(statement)
            sqlite3_clear_bindings(statement)
        }
        var index: CInt = 0
        for value in repeat each values {
            index += 1
            let code = value.bind(to: statement, at: index)
            if code != SQLITE_OK { throw failure(code) }
        }
        return try body(statement)
    }

    private func failure(_ code: CInt) -> DatabaseError {
        DatabaseError(
            resultCode: ResultCode(rawValue: code), message: String(cString: sqlite3_errmsg(sqliteConnection)))
    }

    /// The largest text, blob or row that this connection takes, in bytes: 1,000,000,000, unless SQLite was built or told
    /// otherwise.
    var largestRow: Int {
        get { Int(sqlite3_limit(sqliteConnection, SQLITE_LIMIT_LENGTH, -1)) }
        set { sqlite3_limit(sqliteConnection, SQLITE_LIMIT_LENGTH, Int32(clamping: newValue)) }
    }

    /// Whether a transaction is open, by SQLite's own account.
    var isInTransaction: Bool { sqlite3_get_autocommit(sqliteConnection) == 0 }

    /// Whether SQLite could open the file for reading only.
    var isReadOnly: Bool { sqlite3_db_readonly(sqliteConnection, "main") == 1 }
}
