import Foundation

/// What SQLite does not do for files: private ones from their first moment, and moving a damaged one aside.
enum FileSystem {
    /// Tells one file from another that has taken its name.
    struct Identity: Equatable {
        let device: UInt64
        let inode: UInt64

        fileprivate init(_ status: stat) {
            device = UInt64(status.st_dev)
            inode = UInt64(status.st_ino)
        }

        /// The file of that name now, or `nil` when there is none.
        init?(path: String) {
            var status = stat()
            guard stat(path, &status) == 0 else { return nil }
            self.init(status)
        }
    }

    /// What SQLite adds to a file's name for the files that belong to it, and nothing for the file itself.
    static let sideFiles = ["", "-wal", "-shm"]

    /// The permissions of a file, such as 0o600; `nil`: there is none.
    static func mode(of path: String) -> mode_t? {
        var status = stat()
        return stat(path, &status) == 0 ? status.st_mode & 0o7777 : nil
    }

    /// The name of a file's owner, or the number of one without a name; `nil`: there is no such file that can be seen.
    static func owner(of path: String) -> String? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return getpwuid(status.st_uid).flatMap { $0.pointee.pw_name }.map { String(cString: $0) }
            ?? "user \(status.st_uid)"
    }

    /// In bytes; 0: there is none.
    static func size(of path: String) -> Int {
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_size) : 0
    }

    /// Whether the path leads to a file with bytes of its own: no folder, device or socket.
    static func isRegular(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    }

    /// The file's name for SQLite, to be read as it is: without locks, side files or recovery.
    static func immutableURI(of path: String) -> String {
        let allowed = CharacterSet.urlPathAllowed.subtracting(["?", "#"])
        // Two slashes would begin the name of a host.
        let path = path.hasPrefix("//") ? "/" + path.drop { $0 == "/" } : path
        return "file:\(path.addingPercentEncoding(withAllowedCharacters: allowed) ?? path)?immutable=1"
    }

    /// The path that symbolic links under this name lead to, whether or not there is a file; SQLite puts its side files
    /// there.
    static func target(of path: String) -> String {
        var path = path
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        // As many as Linux follows. What goes in circles is an error when it is opened.
        for _ in 0..<40 {
            let count = readlink(path, &buffer, buffer.count)
            if count <= 0 { break }
            let next = String(decoding: buffer[..<count].lazy.map(UInt8.init(bitPattern:)), as: UTF8.self)
            let folder = folder(of: path)
            path = next.hasPrefix("/") || folder.isEmpty ? next : folder == "/" ? "/" + next : folder + "/" + next
        }
        return path
    }

    /// Creates a file that only its owner can read and write, and its folder, likewise, unless they are there; where
    /// the path is a symbolic link to nothing, the file that it leads to. SQLite gives its side files the same
    /// permissions.
    /// - Parameter fill: given the path of the empty file, before it has its name: nobody else sees it half made.
    /// - Throws: ``SQLiteBackendError`` when that is impossible, and what `fill` throws.
    static func createPrivately(_ path: String, fill: (String) throws -> Void) throws {
        if Identity(path: path) != nil { return }
        let path = target(of: path)
        try createFolder(folder(of: path), for: path)
        // Made under another name and closed before anybody can open it as a database: closing any handle on a file
        // drops the locks that this process has on it.
        var template = Array((path + ".new-XXXXXX").utf8CString)
        let handle = mkstemp(&template)  // 0600, whatever the umask
        guard handle >= 0 else {
            if errno == EACCES {
                let folder = folder(of: path)
                throw SQLiteBackendError.noPermission(path: path, owner: owner(of: folder.isEmpty ? "." : folder))
            }
            throw SQLiteBackendError.cannotOpen(path: path, lastError())
        }
        close(handle)
        let name = String(decoding: template.dropLast().lazy.map(UInt8.init(bitPattern:)), as: UTF8.self)
        defer { for suffix in sideFiles + ["-journal"] { unlink(name + suffix) } }
        try fill(name)
        // Unlike renaming, linking never replaces a file that another process has put there meanwhile.
        if link(template, path) != 0, errno != EEXIST { throw SQLiteBackendError.cannotOpen(path: path, lastError()) }
    }

    /// What is before the last slash; empty when there is none. (Foundation's own stumbles over names of one letter.)
    static func folder(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "" }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    private static func createFolder(_ folder: String, for path: String) throws {
        if folder.isEmpty || Identity(path: folder) != nil { return }
        try createFolder(self.folder(of: folder), for: path)
        if mkdir(folder, 0o700) != 0, errno != EEXIST { throw SQLiteBackendError.cannotOpen(path: path, lastError()) }
    }

    /// Moves the file and its side files to a name that says when, unless somebody else has done so.
    /// - Returns: the new name, or `nil` when `path` is no longer the file that was meant.
    static func moveAside(_ path: String, ifStill identity: Identity) throws -> String? {
        let handle = open(path, O_RDONLY | O_CLOEXEC)
        guard handle >= 0 else { return nil }
        defer { close(handle) }
        // Of several processes that find the damage, one gets through here while the file still has its name.
        flock(handle, LOCK_EX)
        var status = stat()
        guard fstat(handle, &status) == 0, Identity(status) == identity, Identity(path: path) == identity else {
            return nil
        }
        let stamp = Date().formatted(.iso8601.dateSeparator(.omitted).timeSeparator(.omitted))
        var aside = "\(path).damaged-\(stamp)"
        var number = 1
        while Identity(path: aside) != nil {
            number += 1
            aside = "\(path).damaged-\(stamp)-\(number)"
        }
        // The file itself goes last, so that a new one never meets the old side files.
        for suffix in sideFiles.reversed() {
            if rename(path + suffix, aside + suffix) == 0 {
                // Whoever could read it as a cache is not who should look into what is left of it.
                chmod(aside + suffix, 0o600)
            } else if errno != ENOENT {
                throw SQLiteBackendError.cannotOpen(
                    path: path, "it is damaged and can't be moved aside: \(lastError())")
            }
        }
        return aside
    }

    private static func lastError() -> String { String(cString: strerror(errno)) }
}
