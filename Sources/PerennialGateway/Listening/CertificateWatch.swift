internal import Logging
internal import NIOCore
internal import NIOPosix

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// Looks every few seconds whether the certificate's files were replaced.
struct CertificateWatch: Sendable {
    private let task: RepeatedTask

    init(_ certificate: ServerCertificate, every interval: TimeAmount, on eventLoop: any EventLoop, logger: Logger) {
        certificate.warnIfExpired(logger)
        task = eventLoop.scheduleRepeatedAsyncTask(initialDelay: interval, delay: interval) { _ in
            // Files are read, and keys checked, on a thread that may wait.
            NIOThreadPool.singleton.runIfActive(eventLoop: eventLoop) { certificate.reload(logger) }
        }
    }

    func stop() {
        task.cancel()
    }
}

extension ServerCertificate {
    fileprivate func reload(_ logger: Logger) {
        do throws(CertificateError) {
            guard try reloadIfChanged() else { return }
            logger.info("new connections get the new certificate", metadata: ["file": "\(certificateFile)"])
            warnIfExpired(logger)
        } catch {
            logger.error(
                "the new certificate is not used; connections get the one before",
                metadata: ["file": "\(certificateFile)", "error": "\(error)"])
        }
    }

    fileprivate func warnIfExpired(_ logger: Logger) {
        guard expiry <= Int(time(nil)) else { return }
        logger.warning(
            "the certificate has expired: clients will refuse it", metadata: ["file": "\(certificateFile)"])
    }
}
