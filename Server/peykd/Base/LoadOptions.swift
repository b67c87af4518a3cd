import ArgumentParser
import Foundation
import Logging
import PeykConsole
import PeykNet
import PeykSQLite

/// How much a server bears at once.
struct LoadOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Devices that are served at once.", valueName: "count"))
    var sessions = 1_000

    @Option(
        help: ArgumentHelp("Devices that load everything at once; others are told when to come.", valueName: "count"))
    var firstSyncs = 16

    @Option(
        help: ArgumentHelp(
            "Changes are put off while fewer megabytes are free on the disk; reading goes on.", valueName: "MB"))
    var diskReserve = 64

    func validate() throws {
        guard (1...100_000).contains(sessions), (1...10_000).contains(firstSyncs), (0...1 << 20).contains(diskReserve)
        else { throw ValidationError("--sessions, --first-syncs and --disk-reserve are numbers in a sensible range.") }
    }

    func apply(
        to configuration: inout NetConfiguration, _ installation: Installation, _ logger: Logger
    ) throws {
        configuration.sessionsMax = sessions
        configuration.loadingMax = firstSyncs
        configuration.connectionsMax = sessions + configuration.greetingsMax
        configuration.reserveBytes = Int64(diskReserve) << 20
        let directory = installation.directory
        configuration.freeBytes = { Self.freeBytes(directory) }
        configuration.isDiskFull = { ($0 as? SQLiteError)?.isDiskFull ?? false }
        // A file beyond the limit of its size is an error to us, as a full disk is, and no end.
        signal(SIGXFSZ, SIG_IGN)
        let files = Self.raiseFileLimit()
        if files < configuration.connectionsMax + 200 {
            logger.warning(
                "this process may open \(files) files, too few for \(sessions) devices: raise the limit (ulimit -n)")
        }
    }

    static func freeBytes(_ directory: String) -> Int64? {
        var facts = statvfs()
        guard statvfs(directory, &facts) == 0 else { return nil }
        return Int64(clamping: UInt64(facts.f_bavail) &* UInt64(facts.f_frsize))
    }

    /// As many open files as the system allows this process; the number.
    private static func raiseFileLimit() -> Int {
        var limit = rlimit()
        let what = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        guard getrlimit(what, &limit) == 0 else { return 0 }
        if limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max
            _ = setrlimit(what, &limit)
            _ = getrlimit(what, &limit)
        }
        return Int(clamping: limit.rlim_cur)
    }
}
