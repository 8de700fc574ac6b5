import java.io.File;
import java.net.InetSocketAddress;
import org.eclipse.jgit.transport.Daemon;
import org.eclipse.jgit.transport.resolver.FileResolver;

/** JGit's daemon over the repositories of a folder: Launcher HOST PORT FOLDER. */
public final class Launcher {
    private Launcher() {}

    public static void main(String[] words) throws Exception {
        InetSocketAddress address = new InetSocketAddress(words[0], Integer.parseInt(words[1]));
        Daemon daemon = new Daemon(address);
        daemon.setRepositoryResolver(new FileResolver<>(new File(words[2]), true));
        daemon.getService("git-receive-pack").setEnabled(true);
        daemon.start();
        Thread.currentThread().join();
    }
}
