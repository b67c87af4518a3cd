public import ArgumentParser
import Foundation
import PeykCRM

/// Exit codes as in `sysexits.h`.
public enum Sysexit: Int32, Hashable, Sendable {
    case done = 0
    /// What was typed cannot be understood.
    case usage = 64
    /// Input data that is wrong; what was good of it was taken.
    case data = 65
    /// No such file or record.
    case noInput = 66
    /// The server is out of reach.
    case unavailable = 69
    /// Our own fault.
    case software = 70
    case cannotCreate = 73
    /// Reading or writing failed: disk full.
    case inputOutput = 74
    /// Busy: try again.
    case temporary = 75
    case protocolBroken = 76
    /// Not permitted, revoked.
    case notPermitted = 77
    case configuration = 78
}

/// What is told to a person when a command cannot do its work: what happened, what is safe, what to do next.
public struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
    public let exit: Sysexit
    public let message: String
    /// The same in Persian; nil where there is English only.
    public let persian: String?

    public init(_ exit: Sysexit, _ message: String, _ persian: String? = nil) {
        self.exit = exit
        self.message = message
        self.persian = persian
    }

    public var description: String { message }

    /// The same for errors of the system that come from reading and writing files.
    public init?(system error: any Error) {
        let error = error as NSError
        switch (error.domain, error.code) {
        case (NSCocoaErrorDomain, CocoaError.Code.fileReadNoSuchFile.rawValue),
            (NSCocoaErrorDomain, CocoaError.Code.fileNoSuchFile.rawValue),
            (NSPOSIXErrorDomain, Int(ENOENT)):
            let path = error.userInfo[NSFilePathErrorKey] as? String
            self.init(
                .noInput, path.map { "There is no file \($0)." } ?? "There is no such file.",
                path.map { "پروندهٔ \($0) نیست." } ?? "چنین پرونده‌ای نیست.")
        case (NSCocoaErrorDomain, CocoaError.Code.fileReadNoPermission.rawValue),
            (NSCocoaErrorDomain, CocoaError.Code.fileWriteNoPermission.rawValue),
            (NSPOSIXErrorDomain, Int(EACCES)):
            self.init(
                .notPermitted, "The file may not be read or written by this user.",
                "این کاربر اجازهٔ خواندن یا نوشتن این پرونده را ندارد.")
        case (NSCocoaErrorDomain, CocoaError.Code.fileWriteOutOfSpace.rawValue), (NSPOSIXErrorDomain, Int(ENOSPC)):
            self.init(
                .inputOutput, "The disk is full. Nothing was damaged; make room and try again.",
                "دیسک پر است. چیزی آسیب ندید؛ جا باز کنید و دوباره تلاش کنید.")
        case (NSCocoaErrorDomain, _), (NSPOSIXErrorDomain, _):
            self.init(.inputOutput, "Reading or writing a file failed: \(error.localizedDescription)")
        default: return nil
        }
    }
}

/// Runs a program's root command, and ends the process with one line and the right exit code where it fails.
public enum Program {
    /// - Parameter arguments: without the program's name; nil takes the process's own.
    /// - Parameter translate: turns the program's own errors into what is told; nil for those it does not know.
    public static func run<Root: AsyncParsableCommand>(
        _ root: Root.Type, name: String, arguments: [String]? = nil, translate: @Sendable (any Error) -> Failure?
    ) async -> Never {
        let isPersian = speaksPersian(arguments ?? Array(CommandLine.arguments.dropFirst()))
        do {
            var command = try root.parseAsRoot(arguments)
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
            Foundation.exit(Sysexit.done.rawValue)
        } catch {
            if let failure = (error as? Failure) ?? translate(error) {
                stop(failure, name: name, isPersian)
            }
            if root.exitCode(for: error) != .failure || error is ValidationError || error is ExitCode {
                root.exit(withError: error)
            }
            if let failure = Failure(system: error) { stop(failure, name: name, isPersian) }
            stop(Failure(.software, "This should not have happened: \(error)"), name: name, false)
        }
    }

    /// Errors can come before the options are known, so the language is read from the arguments.
    static func speaksPersian(_ arguments: [String]) -> Bool {
        let options = Array(arguments.prefix { $0 != "--" })
        let languages = options.indices.compactMap { index in
            options[index] == "--lang" && index + 1 < options.count
                ? options[index + 1]
                : options[index].hasPrefix("--lang=") ? String(options[index].dropFirst("--lang=".count)) : nil
        }
        return languages.last == Presentation.Language.fa.rawValue
    }

    private static func stop(_ failure: Failure, name: String, _ isPersian: Bool) -> Never {
        let message = (isPersian ? failure.persian : nil) ?? failure.message
        if !message.isEmpty { Terminal.message("\(name): \(message)") }
        Foundation.exit(failure.exit.rawValue)
    }
}
