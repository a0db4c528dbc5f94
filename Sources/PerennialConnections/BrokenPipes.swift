#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// Does work that writes to sockets, without the signal (SIGPIPE) that ends the process when the other side is gone: not every
/// client asks the system not to raise it, and what the process does about signals is not for a library to say. Writing fails
/// as always.
func withoutBrokenPipes(_ work: () -> Void) {
    var (pipe, before, pending) = (sigset_t(), sigset_t(), sigset_t())
    sigemptyset(&pipe)
    sigaddset(&pipe, SIGPIPE)
    pthread_sigmask(SIG_BLOCK, &pipe, &before)
    work()
    if sigismember(&before, SIGPIPE) == 1 { return }
    // The thread is lent: it is given back as it was, without a signal that waits.
    sigpending(&pending)
    if sigismember(&pending, SIGPIPE) == 1 {
        var number: Int32 = 0
        sigwait(&pipe, &number)
    }
    pthread_sigmask(SIG_SETMASK, &before, nil)
}

/// As ``withoutBrokenPipes(_:)``, for the rest of a thread's life.
func blockBrokenPipes() {
    var pipe = sigset_t()
    sigemptyset(&pipe)
    sigaddset(&pipe, SIGPIPE)
    pthread_sigmask(SIG_BLOCK, &pipe, nil)
}
