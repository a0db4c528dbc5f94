internal import NIOCore

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// Makes a socket at a path to which only this user may connect. A socket that a killed process left there is removed.
/// - Throws: `IOError`: `EADDRINUSE` when somebody listens there, `EEXIST` when something else is there.
func listeningSocket(path: String) throws -> CInt {
    try removeStaleSocket(path)
    let descriptor = try newSocket()
    do {
        #if os(Linux)
            // The file gets these permissions as it is made, so there is no moment at which others may connect.
            try check(fchmod(descriptor, 0o600), "fchmod")
        #endif
        try check(withAddress(of: path) { bind(descriptor, $0, $1) }, "bind")
        try check(chmod(path, 0o600), "chmod")
        try check(listen(descriptor, 1024), "listen")
        return descriptor
    } catch {
        close(descriptor)
        throw error
    }
}

func removeSocket(path: String) {
    var status = stat()
    if lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK { unlink(path) }
}

private func removeStaleSocket(_ path: String) throws {
    var status = stat()
    guard lstat(path, &status) == 0 else { return }
    guard status.st_mode & S_IFMT == S_IFSOCK else { throw IOError(errnoCode: EEXIST, reason: "bind") }
    let descriptor = try newSocket()
    defer { close(descriptor) }
    let isRefused = try withAddress(of: path) { connect(descriptor, $0, $1) } != 0 && errno == ECONNREFUSED
    guard isRefused else { throw IOError(errnoCode: EADDRINUSE, reason: "bind") }
    unlink(path)
}

private func newSocket() throws -> CInt {
    #if os(Linux)
        let kind = CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
    #else
        let kind = SOCK_STREAM
    #endif
    let descriptor = socket(AF_UNIX, kind, 0)
    try check(descriptor, "socket")
    let flags = fcntl(descriptor, F_GETFL)
    try check(fcntl(descriptor, F_SETFL, flags | O_NONBLOCK), "fcntl")
    return descriptor
}

private func withAddress(
    of path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> CInt
) throws -> CInt {
    try SocketAddress(unixDomainSocketPath: path).withSockAddr { body($0, socklen_t($1)) }
}

private func check(_ result: CInt, _ call: String) throws {
    if result < 0 { throw IOError(errnoCode: errno, reason: call) }
}
