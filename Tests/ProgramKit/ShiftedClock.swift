package import Foundation

/// Another wall clock for one process; its monotonic clocks stay as they are.
///
/// A small library, made with the toolchain's own clang, stands before the C library's clock. (Debian's libfaketime
/// does more, and leaves Swift programs without their arguments.)
package enum ShiftedClock {
    private static let source = """
        #define _GNU_SOURCE
        #include <dlfcn.h>
        #include <stdlib.h>
        #include <time.h>
        int clock_gettime(clockid_t clock, struct timespec *out) {
            static int (*real)(clockid_t, struct timespec *);
            if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
            const char *shift = getenv("CLOCK_SHIFT_SECONDS");
            int result = real(clock, out);
            if (clock == CLOCK_REALTIME && shift) out->tv_sec += atol(shift);
            return result;
        }
        """

    private static var compiler: Program? {
        let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
        let names = folders.map { URL(fileURLWithPath: String($0)).appendingPathComponent("clang") }
        return names.map { Program(url: $0) }.first { $0.isThere }
    }

    package static var canBeMade: Bool {
        #if os(Linux)
            compiler != nil
        #else
            false
        #endif
    }

    /// The environment of a process whose wall clock is so many days ahead.
    package static func environment(days: Int, in folder: URL) async throws -> [String: String] {
        try await environment(seconds: days * 86_400, in: folder)
    }

    package static func environment(seconds: Int, in folder: URL) async throws -> [String: String] {
        let library = folder.appendingPathComponent("clock.so")
        if !FileManager.default.fileExists(atPath: library.path) {
            // Made beside its place: others may ask for it at the same time, and half a library crashes its users.
            let draft = folder.appendingPathComponent("clock-\(UUID().uuidString)")
            let file = draft.appendingPathExtension("c")
            try Data(source.utf8).write(to: file)
            let arguments = ["-shared", "-fPIC", "-o", draft.path, file.path, "-ldl"]
            guard let output = try await compiler?.run(arguments), output.status == 0 else {
                throw Program.Failure(description: "the library with another clock could not be made")
            }
            guard rename(draft.path, library.path) == 0 else {
                throw Program.Failure(description: "the library with another clock could not be put in its place")
            }
        }
        return ["LD_PRELOAD": library.path, "CLOCK_SHIFT_SECONDS": String(seconds)]
    }
}
