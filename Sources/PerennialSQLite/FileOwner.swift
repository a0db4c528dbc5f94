import GRDB
import GRDBSQLite

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Whose a file is, as far as its first bytes tell, or those that its log has in their place.
///
/// A file of somebody else's is neither written to nor moved.
enum FileOwner: Equatable {
    /// There is nothing in it.
    case nobody
    case perennial
    /// A database without the mark of any program: one that is being made, or another program's.
    case unmarked
    case others

    /// - Throws: ``SQLiteBackendError`` when the file can't be read, or is no file.
    init(path: String) throws {
        guard let header = try FileHeader(path: path) else {
            self = .nobody
            return
        }
        self = header.owner
        // In a log of its own a database has pages that take the place of those in the file.
        if self != .perennial, FileHeader.log(FileSystem.target(of: path) + "-wal", hasOne: \.isPerennials) {
            self = .perennial
        }
    }
}

/// The first 100 bytes of an SQLite database (https://sqlite.org/fileformat2.html#the_database_header).
struct FileHeader {
    private static let size = 100
    private static let magic = Array("SQLite format 3\0".utf8)

    private let bytes: [UInt8]

    /// - Parameter bytes: the file's first; what is missing of 100 is taken for zero.
    init(_ bytes: some Sequence<UInt8>) {
        let known = Array(bytes.prefix(Self.size))
        self.bytes = known + repeatElement(0, count: Self.size - known.count)
    }

    var isSQLites: Bool { bytes.starts(with: Self.magic) }

    /// Whether it has Perennial's mark, and at least one of the other texts and numbers that every database has.
    var isPerennials: Bool {
        Int64(Self.number(bytes[68..<72])) == Schema.applicationID && (isSQLites || bytes[21...23] == [64, 32, 32])
    }

    var owner: FileOwner {
        if isPerennials { return .perennial }
        return isSQLites && bytes[68..<72].allSatisfy { $0 == 0 } ? .unmarked : .others
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        bytes.reduce(0) { $0 << 8 | UInt32($1) }
    }

    /// The header of a file; `nil`: the file is empty.
    ///
    /// It is read through SQLite, which opens the file but looks at nothing: closing a handle of our own would drop the
    /// locks that SQLite's other handles of this process have on it.
    /// - Throws: ``SQLiteBackendError`` when the file can't be read, or is no file.
    init?(path: String) throws {
        guard FileSystem.isRegular(path) else {
            throw SQLiteBackendError.cannotOpen(path: path, "it is no file")
        }
        var connection: OpaquePointer?
        defer { sqlite3_close_v2(connection) }
        let flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_URI
        let code = sqlite3_open_v2(FileSystem.immutableURI(of: path), &connection, flags, nil)
        var file: UnsafeMutablePointer<sqlite3_file>?
        guard code == SQLITE_OK,
            sqlite3_file_control(connection, "main", SQLITE_FCNTL_FILE_POINTER, &file) == SQLITE_OK,
            let file, let read = file.pointee.pMethods?.pointee.xRead
        else {
            let reason = sqlite3_system_errno(connection)
            if reason == EACCES {
                throw SQLiteBackendError.noPermission(path: path, owner: FileSystem.owner(of: path))
            }
            throw SQLiteBackendError.cannotOpen(
                path: path, reason == 0 ? String(cString: sqlite3_errstr(code)) : String(cString: strerror(reason)))
        }
        var bytes = [UInt8](repeating: 0, count: Self.size)
        let result = ResultCode(rawValue: read(file, &bytes, Int32(bytes.count), 0))
        // What is missing of a file that is too short is zero then.
        guard result == .SQLITE_OK || result == .SQLITE_IOERR_SHORT_READ else {
            throw SQLiteBackendError.cannotOpen(path: path, String(cString: sqlite3_errstr(result.rawValue)))
        }
        if FileSystem.size(of: path) == 0 { return nil }
        self.init(bytes)
    }

    /// Whether a write-ahead log has a first page of the database with such a header
    /// (https://sqlite.org/fileformat2.html#the_write_ahead_log). SQLite has no locks on this file.
    static func log(_ path: String, hasOne isWanted: (FileHeader) -> Bool) -> Bool {
        let handle = open(path, O_RDONLY | O_CLOEXEC)
        guard handle >= 0 else { return false }
        defer { close(handle) }
        func read(_ count: Int, at offset: Int) -> [UInt8]? {
            var bytes = [UInt8](repeating: 0, count: count)
            return pread(handle, &bytes, count, off_t(offset)) == count ? bytes : nil
        }
        guard let start = read(32, at: 0), [0x377F_0682, 0x377F_0683].contains(number(start[0..<4])) else {
            return false
        }
        let pageSize = Int(number(start[8..<12]))
        guard (512...65_536).contains(pageSize) else { return false }
        var offset = start.count
        // Frames of the log's last use have the salt of its header; what is behind them is older.
        while let frame = read(24, at: offset), frame[8..<16] == start[16..<24] {
            offset += frame.count
            if number(frame[0..<4]) == 1, let page = read(size, at: offset), isWanted(FileHeader(page)) { return true }
            offset += pageSize
        }
        return false
    }
}
